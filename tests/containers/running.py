"""A built root as an engine starts it: read-only, a numeric user, no capability, own processes.

As docker-compose.yml asks for: a tmpfs on /tmp, the volume /data, images read-only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.containers.building import Image
from tests.namespaces import Namespace

TOOLS = ("setpriv", "chroot")
_DEVICES = ("null", "zero", "full", "random", "urandom")
# As PID 1 of its namespaces: mounts, then the image's command as the image's user.
_START = """
set -eu
root=$1 data=$2 images=$3 name=$4 user=$5 folder=$6; shift 6
echo "$name" > /proc/sys/kernel/hostname
mount --make-rprivate /
mount --bind "$root" "$root"
mkdir -p "$root/images"
mount --bind "$data" "$root/data"
mount --bind -o ro "$images" "$root/images"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o nosuid,nodev,mode=1777,size=1g tmpfs "$root/tmp"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$root/dev"
for each in DEVICES; do : > "$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
exec chroot "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$folder" PRIVILEGES "$@"
""".replace("DEVICES", " ".join(_DEVICES))
_PRIVILEGES = (
    "setpriv --reuid USER --regid USER --clear-groups --no-new-privs --bounding-set=-all "
    "--inh-caps=-all"
)


def volume(image: Image, folder: Path) -> Path:
    """A new volume: an engine copies owner and mode of the image's folder."""
    told = (image.root / "data").stat()
    folder.mkdir(parents=True)
    os.chown(folder, told.st_uid, told.st_gid)
    folder.chmod(told.st_mode & 0o7777)
    return folder


class Container:
    """One that runs; its log is a file."""

    def __init__(
        self,
        image: Image,
        network: Namespace,
        data: Path,
        images: Path,
        log: Path,
        environment: Mapping[str, str] = {},
        command: Sequence[str] = (),
    ) -> None:
        self.image, self.log = image, log
        self._environment = {**image.environment, **environment}
        user = image.config["User"]
        assert user.isdecimal()
        self._privileges = _PRIVILEGES.replace("USER", user).split()
        script = _START.replace("PRIVILEGES", " ".join(self._privileges))
        given = (image.root, data, images, log.stem, user, image.config["WorkingDir"])
        with log.open("ab") as file:
            self._outside = subprocess.Popen(
                [
                    *network.prefix, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork",
                    "--kill-child", "sh", "-c", script, "sh", *map(str, given),
                    *(command or image.config["Cmd"]),
                ],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the container's first process, as this machine counts."""
        deadline = time.monotonic() + 10
        children = Path(f"/proc/{self._outside.pid}/task/{self._outside.pid}/children")
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.01)
        return int(found[0])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Another command inside, as the image's user."""
        inside = ("nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net",
                  "--pid", "--root", "--wd")  # fmt: skip
        return subprocess.run(
            [*inside, *self._privileges, *command],
            env=self._environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def health(self) -> str:
        """What the image's own health check finds wrong."""
        kind, *words = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        assert self.alive(), self.told()
        done = self.run(*words)
        return "" if done.returncode == 0 else f"{done.returncode}: {done.stdout} {done.stderr}"

    def alive(self) -> bool:
        return self._outside.poll() is None

    def stop(self) -> int:
        """The image's stop signal; returns the exit status."""
        number = signal.Signals[self.image.config["StopSignal"]]
        os.kill(self.pid, number)
        return self._outside.wait(120)

    def close(self) -> None:
        if self.alive():
            self._outside.kill()
            self._outside.wait()

    def told(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]
