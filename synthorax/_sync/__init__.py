"""The client.  Made of `_async`: `python tools/twins.py`."""
