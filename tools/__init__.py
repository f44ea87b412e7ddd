"""What writes parts of the project: its reference, the client's second form, vendored code."""
