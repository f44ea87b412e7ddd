"""Floor 1: what images look like to a network that never saw them, and distances between sets."""
