"""Readers of files against inputs that nobody thought of."""
