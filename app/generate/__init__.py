"""POST /generate and the address of a sample."""
