"""Reports on versions over HTTP."""
