"""Two backends on versions that were trained: torch on the CPU and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.engine.backend import Backend
from app.engine.loaded import load
from app.engine.onnx import OnnxBackend
from app.engine.sampler import Sampler
from app.engine.torch import TorchBackend
from library.images import to_uint8
from library.latents import latents
from library.versions import ModelLibrary, Version
from tests.trainer import Trainer, write_request

SEEDS = 64


@pytest.fixture(scope="module", autouse=True)
def _threads_as_before() -> Iterator[None]:
    """TorchBackend sets them for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Version]:
    """One with classes and one without, each trained for an epoch and published."""
    found = {}
    for name, conditional in (("classes", True), ("plain", False)):
        folder = tmp_path_factory.mktemp(name)
        request = write_request(folder, model=name, epochs=1, conditional=conditional)
        with Trainer(request) as trainer:
            assert trainer.end() == 0
        found[name] = ModelLibrary(folder / "models", bundled=None).find(name)
    return found


@pytest.fixture(scope="module", params=["classes", "plain"])
def version(request: pytest.FixtureRequest, versions: dict[str, Version]) -> Version:
    return versions[request.param]


def build(version: Version, kind: str, threads: int = 1) -> Backend:
    if kind == "onnxruntime":
        return OnnxBackend(version, threads)
    return TorchBackend(version, kind, threads)


@pytest.fixture(scope="module")
def samplers(versions: dict[str, Version]) -> dict[tuple[str, str, int], Sampler]:
    return {
        (name, kind, threads): Sampler(version, build(version, kind, threads))
        for name, version in versions.items()
        for kind in ("onnxruntime", "float32", "bfloat16")
        for threads in (1, 2)
    }


def inputs(version: Version, count: int = SEEDS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    label = np.arange(count, dtype=np.int64) % max(1, len(version.labels))
    return latents(range(count), version.latent_dim), label


def test_the_versions_are_what_they_are_called(versions: dict[str, Version]) -> None:
    assert len(versions["classes"].labels) == 2
    assert versions["plain"].labels == []


def test_torch_and_onnxruntime_differ_by_one_grey_level_at_most(version: Version) -> None:
    z, label = inputs(version)
    ours, theirs = TorchBackend(version, "float32", 1), OnnxBackend(version, 1)
    first, second = ours.outputs(z, label), theirs.outputs(z, label)
    side = version.resolution
    assert first.shape == second.shape == (SEEDS, side, side)
    assert first.dtype == second.dtype == np.float32
    assert np.abs(first).max() <= 1
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-4)
    apart = ours.levels(z, label).astype(int) - theirs.levels(z, label)
    assert np.abs(apart).max() <= 1
    assert np.count_nonzero(apart) <= 0.01 * apart.size
    assert ours.levels(z, label).std() > 0  # pictures, not a plane


def test_the_label_decides_where_there_are_classes(versions: dict[str, Version]) -> None:
    for name, version in versions.items():
        z, _ = inputs(version, 8)
        for kind in ("onnxruntime", "float32"):
            backend = build(version, kind)
            same = np.array_equal(
                backend.outputs(z, np.zeros(8, np.int64)),
                backend.outputs(z, np.full(8, int(name == "classes"), np.int64)),
            )
            assert same == (name == "plain")


@pytest.mark.parametrize("kind", ["onnxruntime", "float32", "bfloat16", "float16"])
def test_levels_are_the_outputs_rounded(version: Version, kind: str) -> None:
    backend = build(version, kind)
    z, label = inputs(version, 4)
    levels = backend.levels(z, label)
    assert levels.dtype == np.uint8
    assert np.array_equal(levels, to_uint8(backend.outputs(z, label)))


def test_each_precision_is_an_engine_of_its_own(
    samplers: dict[tuple[str, str, int], Sampler],
) -> None:
    found = {kind: samplers["classes", kind, 1] for kind in ("onnxruntime", "float32", "bfloat16")}
    assert len({sampler.digest for sampler in found.values()}) == 3
    assert [s.backend.precision for s in found.values()] == ["float32", "float32", "bfloat16"]
    assert [s.backend.name for s in found.values()] == ["onnxruntime", "torch", "torch"]
    assert not np.array_equal(found["float32"].checked, found["bfloat16"].checked)
    # Less precise, and the same pictures still.
    apart = np.abs(found["float32"].checked - found["bfloat16"].checked)
    assert apart.mean() < 0.05


def test_versions_and_threads_share_an_engine(
    samplers: dict[tuple[str, str, int], Sampler],
) -> None:
    """The digest may name no number of threads where the bits do not depend on it."""
    for kind in ("onnxruntime", "float32", "bfloat16"):
        for name in ("classes", "plain"):
            one, two = samplers[name, kind, 1], samplers[name, kind, 2]
            if one.digest == two.digest:
                seeds, classes = list(range(40)), [0] * 40
                assert np.array_equal(one.levels(seeds, classes), two.levels(seeds, classes))


drawn = st.lists(
    st.tuples(st.integers(0, 2**53 - 1), st.sampled_from([1.0, 0.7, 0.3])), min_size=1, max_size=40
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["onnxruntime", "float32", "bfloat16"])
@pytest.mark.parametrize("name", ["classes", "plain"])
@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(batch=drawn)
def test_a_sample_does_not_depend_on_its_batch(
    samplers: dict[tuple[str, str, int], Sampler],
    name: str,
    kind: str,
    threads: int,
    batch: list[tuple[int, float]],
) -> None:
    sampler = samplers[name, kind, threads]
    seeds = [seed for seed, _ in batch]
    classes = sampler.classes(seeds, [None] * len(seeds))
    psi = np.array([truncation for _, truncation in batch], np.float32)
    together = sampler.levels(seeds, classes, psi)
    # The first, one between and the last, each alone.
    for i in {0, len(batch) // 2, len(batch) - 1}:
        alone = sampler.levels([seeds[i]], [classes[i]], batch[i][1])
        assert np.array_equal(alone[0], together[i])


def test_a_batch_has_the_bits_of_its_images_alone(version: Version) -> None:
    """Of the outputs, before they are rounded, whatever the number of threads."""
    z, label = inputs(version, 24)
    backends = [OnnxBackend(version, threads) for threads in (1, 2, 3)]
    wanted = backends[0].outputs(z, label)
    for backend in backends:
        for size in (1, 2, 3, 5, 16, 24):
            parts = [
                backend.outputs(z[at : at + size], label[at : at + size])
                for at in range(0, 24, size)
            ]
            assert np.array_equal(np.concatenate(parts), wanted)


def test_the_self_check_of_onnxruntime_leaves_nothing_out(
    samplers: dict[tuple[str, str, int], Sampler],
) -> None:
    for (_, kind, _), sampler in samplers.items():
        if kind == "onnxruntime":
            assert sampler.proof.exact, sampler.proof.told


def test_devices_of_one_kind_share_a_version(versions: dict[str, Version]) -> None:
    version = versions["classes"]
    loaded = load(version, ("cpu", "cpu"), lambda v, _: OnnxBackend(v, 1))
    assert len(loaded.samplers) == 2
    assert loaded.engine_digest == loaded.samplers[1].digest
    assert loaded.memory_bytes >= sum(f["bytes"] for f in version.card["files"].values())
    origin = loaded.origin(0.7)
    assert (origin.backend, origin.precision) == ("onnxruntime", "float32")
    assert origin is loaded.origin(0.7)
    assert origin.version_digest == version.digest
