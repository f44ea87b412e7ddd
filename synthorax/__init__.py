"""Synthorax: seeded synthetic chest X-rays.  The Python client and the command line."""

from synthorax.client import Client, SynthoraxError

__all__ = ["Client", "SynthoraxError"]
