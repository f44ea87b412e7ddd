"""Random kills of every part while jobs train: each job ends once, in the right state and bytes."""
