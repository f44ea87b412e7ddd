"""Floor 0: what lies on disk and what a sample is.  numpy and pillow only."""

import os

__version__ = "0.1.0"

# ONNX Runtime from 1.29 on tells its maker of graphs, weights and hardware unless this is set
# before it is imported; every process of ours imports this first (tests/service/test_no_egress.py).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
