"""Withdrawals: a patient's images, and what was made from them, go."""
