"""What all tests share: how hypothesis looks for counter-examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A loaded machine is no counter-example: nothing here is judged by its time.
settings.register_profile(
    "synthorax", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("synthorax")
