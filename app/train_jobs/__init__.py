"""Train jobs over HTTP."""
