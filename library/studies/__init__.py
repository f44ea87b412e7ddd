"""Studies on the disk: does it help, answered by many runs of one configuration."""
