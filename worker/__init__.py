"""Floor 2: Celery supervises training as child processes; job records and events in Redis."""

import sys

# redis-py imports OpenTelemetry's SDK where it is installed, for metrics that nobody switches on
# (a quarter of a second of each start).  It can do without: here it does not find it.
_SDK = "opentelemetry.sdk.metrics"
if "redis" not in sys.modules and _SDK not in sys.modules:
    sys.modules[_SDK] = None  # type: ignore[assignment]
    import redis  # noqa: F401

    del sys.modules[_SDK]
