"""The model library over HTTP."""
