"""What the tests of training share: 24 real images, and a stop that never comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from library.decoded import Decoded
from tests.sets import decoded as decoded_of
from tests.trainer import REAL
from training.stopping import StopRequest


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    return decoded_of(REAL, tmp_path_factory.mktemp("data"))


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    """A request to stop that never comes; the signals it took are given back."""
    taken = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopRequest(lifeline=False)
    for number, handler in taken.items():
        signal.signal(number, handler)
