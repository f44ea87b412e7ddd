"""A study's work: its units, its arms, its classifiers, its statistics and its pages."""
