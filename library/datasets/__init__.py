"""Datasets: what lies in a folder or a ZIP, validated, grouped, split, kept with its reasons."""
