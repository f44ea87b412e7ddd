"""A campaign as a page of the documentation."""

from __future__ import annotations

import statistics

from tests.faults.campaign import FEW, MANY, Campaign
from tests.faults.cluster import LEASE_SECONDS
from tests.faults.jobs import EPOCHS

_PAGE = """# Faults

What happens to train jobs when parts of the service are killed at random: real Valkey, real Celery
workers ({workers} for training, one light), the real API, real trainers. Each fault struck while
jobs ran; whoever was killed is started again within two seconds, as whatever supervises services
does. A lease lasts {lease} s here, 20 s by default.

```
python -m tests.faults --kills {kills} --seed {seed} --workers {workers} --write docs/faults.md
```

{table}

Every worker has a job here, so that the next attempt may wait for one to be free. Where another
worker is free it begins {median:.1f} s after the kill (median of {kills_alone}; longest
{longest:.1f} s): a lease and the sweep's pause.

The {jobs} jobs had {epochs} epochs each. After the last fault they were left to end, and this was
checked of each: it succeeded, with one end among its events; no event was told twice, all in order;
`metrics.jsonl` has each epoch and each step once; the weights equal those of a run that nobody
disturbed, byte for byte; one version is published, no more; no temporary file is left. Of all: no
job that has not ended, no lease, no trainer; and after a stop no process.

Violations: {violations}

`make test` strikes {few} times, `make test-long` {many} times, each with a new seed that it prints.
Full and read-only disks are in `tests/test_run_ends.py`.
"""


def page(campaign: Campaign, workers: int, alone: list[float]) -> str:
    """alone: seconds to the next attempt where another worker is free."""
    return _PAGE.format(
        workers=workers,
        lease=LEASE_SECONDS,
        kills=len(campaign.struck),
        seed=campaign.seed,
        table=campaign.table(),
        kills_alone=len(alone),
        median=statistics.median(alone),
        longest=max(alone),
        jobs=len(campaign.jobs),
        epochs=EPOCHS,
        violations="; ".join(campaign.violations) or "none.",
        few=FEW,
        many=MANY,
    )
