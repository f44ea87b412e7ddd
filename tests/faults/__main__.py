"""python -m tests.faults [--kills 200] [--seed 1] [--workers 2] [--write docs/faults.md]"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import Campaign, run
from tests.faults.recovery import measure
from tests.faults.report import page

SAY_EVERY = 10  # faults
RECOVERIES = 10  # kills of a worker while another is free


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help="a page with the table")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    began = time.monotonic()
    campaign = Campaign(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for campaign in run(Path(folder), arguments.kills, arguments.seed, arguments.workers):
            if len(campaign.struck) % SAY_EVERY == 0:
                print(
                    f"{len(campaign.struck)} faults, {time.monotonic() - began:.0f} s", flush=True
                )
    print(campaign.table())
    for violation in campaign.violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(campaign.jobs)} jobs, {len(campaign.violations)} violations")
    if arguments.write:
        with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
            alone = measure(Path(folder), RECOVERIES)
        arguments.write.write_text(page(campaign, arguments.workers, alone))
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
