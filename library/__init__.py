"""Floor 0: what lies on disk and what a sample is.  numpy and pillow only."""

__version__ = "0.1.0"
