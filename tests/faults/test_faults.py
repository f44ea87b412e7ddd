"""Random kills: few in each test run, many by `make test-long`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.campaign import FEW, MANY, run

SEED_MAX = 2**32


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_every_job_ends_once_and_in_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(SEED_MAX)
    with capsys.disabled():
        print(f"\nfaults: seed {seed}")
        *_, campaign = run(tmp_path, kills, seed)
        print(campaign.table())
        if campaign.missed:
            print(f"moments that did not come: {campaign.missed}")
    assert len(campaign.struck) == kills
    assert campaign.violations == []
