"""The walls of the house: which floor may import what, and what starting a server brings in."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    "library",
    "features",
    "training",
    "evaluation",
    "studies",
    "worker",
    "app",
    "synthorax",
)
OWN = {*FLOORS, "tests", "benchmarks"}

# What each floor must never import; "library" has the opposite list, of what it may.
FORBIDDEN = {
    "features": {
        "redis",
        "celery",
        "fastapi",
        "app",
        "worker",
        "synthorax",
        "evaluation",
        "studies",
        "training",
    },
    "training": {
        "redis",
        "celery",
        "fastapi",
        "app",
        "worker",
        "synthorax",
        "evaluation",
        "studies",
    },
    "evaluation": {"redis", "celery", "fastapi", "app", "worker", "synthorax", "studies"},
    "studies": {"redis", "celery", "fastapi", "app", "worker", "synthorax"},
    "worker": {"torch", "features", "training", "evaluation", "studies", "app", "synthorax"},
    "app": {"torch", "features", "training", "evaluation", "studies", "synthorax"},
}
ALLOWED_IN_LIBRARY = {"library", "numpy", "PIL", *sys.stdlib_module_names}
STORE = ROOT / "library" / "store" / "bucket.py"
READS_DICOM = ROOT / "library" / "dicom.py"
TORCH_OF_THE_APP = ROOT / "app" / "engine" / "torch.py"


def sources(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level names of what these nodes import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their floor, they are not relative"
            assert node.module is not None
            names.add(node.module.split(".")[0])
    return names


def anywhere(path: Path) -> set[str]:
    return imported(ast.walk(ast.parse(path.read_bytes())))


def at_module_level(path: Path) -> set[str]:
    """Imports that happen when the module is imported: everything outside a function."""

    def nodes(parent: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(parent):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield child
                yield from nodes(child)

    return imported(nodes(ast.parse(path.read_bytes())))


def test_the_floors_are_where_this_test_looks() -> None:
    for floor in FLOORS:
        assert sources(floor), floor
    assert "torch" in anywhere(TORCH_OF_THE_APP)


def test_the_library_imports_numpy_and_pillow_only() -> None:
    extra = {str(path): anywhere(path) - ALLOWED_IN_LIBRARY for path in sources("library")}
    # One module reads DICOM, and only where it is asked to: pydicom takes a quarter of a second.
    assert extra.pop(str(READS_DICOM)) == {"pydicom"}
    assert "pydicom" not in at_module_level(READS_DICOM)
    # And one reaches for a bucket, where there is one.
    assert extra.pop(str(STORE)) == {"fsspec"}
    assert "fsspec" not in at_module_level(STORE)
    assert not {path: names for path, names in extra.items() if names}


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_imports_go_down_only(floor: str) -> None:
    found = {
        str(path): anywhere(path) & FORBIDDEN[floor]
        for path in sources(floor)
        if path != TORCH_OF_THE_APP
    }
    assert not {path: names for path, names in found.items() if names}


def test_the_torch_engine_imports_the_networks_and_nothing_above() -> None:
    assert not anywhere(TORCH_OF_THE_APP) & (FORBIDDEN["app"] - {"torch", "training"})
    tree = ast.parse(TORCH_OF_THE_APP.read_bytes())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {m for m in modules if m and m.startswith("training")} == {"training.networks"}


def test_evaluation_brings_torch_only_where_a_classifier_is_at_work() -> None:
    with_torch = {path.stem for path in sources("evaluation") if "torch" in anywhere(path)}
    # The probe trains one, a discriminator is asked.
    assert with_torch == {"probe", "discriminator"}
    first = {path.stem for path in sources("evaluation") if "torch" in at_module_level(path)}
    assert first == {"discriminator"}


def test_features_are_computed_without_torch() -> None:
    with_torch = {path.stem for path in sources("features") if "torch" in anywhere(path)}
    assert with_torch == {"lite0"}  # its weights are read with it
    assert not [path for path in sources("features") if "torch" in at_module_level(path)]


def test_the_client_imports_no_floor_at_module_level() -> None:
    local = ROOT / "synthorax" / "local"
    floors = set(FLOORS) - {"synthorax"}
    for path in sources("synthorax"):
        if path.is_relative_to(local):
            continue
        assert not at_module_level(path) & floors, path
        heavy = {"fastapi", "celery", "redis"} | ({"torch"} - {path.stem.split("_")[0]})
        assert not anywhere(path) & heavy, path  # torch: in torch_dataset.py alone


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    for floor in OWN:
        for path in sources(floor):
            parts = path.relative_to(ROOT).parts
            assert not {part.removesuffix(".py") for part in parts} & drawers, path


@pytest.mark.parametrize("module", ["app.main", "worker.app"])
def test_starting_a_server_does_not_load_torch(module: str, tmp_path: Path) -> None:
    program = f"import sys, {module}; print(sorted(sys.modules.keys() & {{'torch', 'training'}}))"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHORAX_")},
        "SYNTHORAX_DATA_DIR": str(tmp_path),
        "SYNTHORAX_REDIS_URL": f"unix://{tmp_path}/no.sock",
    }
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["[]"]
