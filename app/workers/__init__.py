"""The workers that are connected, over HTTP."""
