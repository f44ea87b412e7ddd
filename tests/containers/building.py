"""buildah, the stand-in for the base image, and this machine's pip inside a build."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MIRROR = "http://deb.debian.org/debian"
# Debian 12 has Python 3.11, as the image python:3.11-slim-bookworm, which is Debian 12.
BASE = "localhost/python-standin:3.11"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
TOOLS = ("buildah", "debootstrap")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """What an image says of itself, and its root as a folder that may be written."""

    name: str
    root: Path
    config: dict[str, Any]
    size: int  # bytes

    @property
    def environment(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in self.config["Env"])


class Store:
    """Images in a folder, beside those of the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
        self._buildah = ("buildah", *places)

    def base(self) -> None:
        """Debian and its Python: images of a registry may be out of reach, packages are not."""
        if BASE in self._do("images", "--format", "{{.Name}}:{{.Tag}}").split():
            return
        root = self.folder / "rootfs"
        what = ("--variant=minbase", f"--include={PACKAGES}")
        _run("debootstrap", *what, "bookworm", str(root), MIRROR)
        _run("chroot", str(root), "apt-get", "clean")
        shutil.rmtree(root / "var/lib/apt/lists")
        recipe = self.folder / "Base"
        recipe.write_text("FROM scratch\nADD rootfs/ /\n")
        self._do("bud", "--file", str(recipe), "--tag", BASE, str(self.folder))
        shutil.rmtree(root)

    def build(self, target: str) -> Image:
        """A target of the Dockerfile.  Layers of earlier builds are used again."""
        name = f"localhost/synthorax-{target}"
        self._do(
            "bud", "--layers", "--format", "docker", "--isolation", "chroot", "--network", "host",
            "--build-arg", f"PYTHON_IMAGE={BASE}", *self._pip(), "--target", target, "--tag", name,
            str(ROOT),
        )  # fmt: skip
        config = json.loads(self._do("inspect", "--type", "image", name))["Docker"]["config"]
        container = self._do("from", "--name", target, name).strip()
        root = Path(self._do("mount", container).strip())
        return Image(target, root, config, int(_run("du", "-sxb", str(root)).split()[0]))

    def close(self) -> None:
        """Unmounts; images and layers stay."""
        self._do("rm", "--all")

    def _pip(self) -> list[str]:
        """This machine's settings of pip (an index, a folder of wheels) hold in the build, too."""
        settings = _run(sys.executable, "-m", "pip", "config", "list")
        kept: dict[str, str] = {}
        # Lines as global.index-url='…' and :env:.index-url='…', the environment's first.
        for name, value in re.findall(r"^(?:global|:env:)\.(\S+)='(.*)'$", settings, re.M):
            if name in ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index"):
                kept.setdefault(name, value)
        file = self.folder / "pip.conf"
        file.write_text("\n".join(["[global]", *(f"{k} = {v}" for k, v in kept.items()), ""]))
        words = [word.removeprefix("file://") for value in kept.values() for word in value.split()]
        mounted = [f"{word}:{word}:ro" for word in words if word.startswith("/")]
        mounted += [
            # An index of files has its files beside it.
            f"{folder}:{folder}:ro"
            for word in words
            if word.startswith("/") and (folder := Path(word).with_name("files")).is_dir()
        ]
        mounted.append(f"{file}:/etc/pip.conf:ro")
        if _CERTIFICATES.exists():
            mounted.append(f"{_CERTIFICATES}:{_CERTIFICATES}:ro")
        return [part for each in mounted for part in ("--volume", each)]

    def _do(self, *words: str) -> str:
        return _run(*self._buildah, *words)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout[-4000:], done.stderr[-4000:])
    return done.stdout
