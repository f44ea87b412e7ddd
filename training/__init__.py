"""Floor 1: networks, losses, the loop, checkpoints, export and publish.  torch; never a server."""
