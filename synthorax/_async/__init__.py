"""The client for asyncio.  `_sync` is made from it: `python tools/twins.py`."""
