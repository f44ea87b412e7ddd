"""Backups of a data folder: what they hold, and how they lie in a file."""
