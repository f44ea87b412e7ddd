"""Generate jobs over HTTP, and the process that makes their shards."""
