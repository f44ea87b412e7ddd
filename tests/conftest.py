"""What all tests share: how hypothesis looks for counter-examples, one thread of torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no counter-example: nothing here is judged by its time.
settings.register_profile(
    "synthorax", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("synthorax")

# Files that take longest, so that no process is left alone with one at the end.
_LONG = (
    "test_reports", "store/test_machines", "test_shell_lines", "test_snippets", "test_cli",
    "test_page_journey",
    "test_wheel", "test_run_ends", "faults/test_faults", "evaluation/test_faults", "test_limits",
    "test_page_rules", "test_distributed", "test_client", "test_train_jobs", "test_choice",
    "test_job_life", "test_uploads", "test_folders",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files, the longest first; the rest as they are."""

    def rank(item: pytest.Item) -> int:
        path = str(item.path.with_suffix(""))
        return next((i for i, name in enumerate(_LONG) if path.endswith(name)), len(_LONG))

    items.sort(key=rank)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Of torch: its sums are the same on any machine, and small networks are faster."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
