"""The wheel for users at large, built and installed alone, on a running service."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from tests.service.conftest import ROOT, Service


def test_the_wheel_alone_works(service: Service, dataset: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("synthorax-*.whl")
    with zipfile.ZipFile(wheel) as content:
        tops = {name.split("/")[0] for name in content.namelist()}
        assert "synthorax/py.typed" in content.namelist()
    assert {name for name in tops if not name.endswith(".dist-info")} == {"synthorax"}
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--quiet"]
    install += ["--constraint", str(ROOT / "constraints.txt"), f"{wheel}[cli]"]
    subprocess.run(install, check=True)
    program = ROOT / "tests" / "service" / "wheel_program.py"
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [str(python), "-I", str(program), service.url, str(tmp_path / "work"), str(dataset)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout
