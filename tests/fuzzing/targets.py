"""The readers of what others send, each as a function of bytes that says how it went.

Whatever comes out beside these words is a finding: an exception that is none of ours, a file
outside of its folder, more bytes than were claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.verify.reading import read
from library.datasets.archive import ArchiveSource
from library.decoding.tasks import run
from library.errors import InvalidValue
from library.picture import Refused
from tests.dicoms import as_bytes, dicom, ramp
from tests.hostile import png, rasters
from tests.hostile.archives import ARCHIVES
from tests.hostile.dicoms import DICOMS
from tests.hostile.images import IMAGES
from tests.sets import REAL

TOTAL_MAX = 4 * 2**20  # bytes that an archive may unpack to here
SEED_MAX = 64 * 1024  # bytes: mutations of larger seeds only take longer
Target = Callable[[bytes], str]


class Folder:
    """Where a target writes, looked at after each input."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.input = path / "input"
        self.staging = path / "staging"
        self.staging.mkdir(parents=True)

    def holds_nothing_else(self) -> bool:
        return {path.name for path in self.path.iterdir()} == {"input", "staging"}


def of_archives(folder: Folder) -> Target:
    """A dataset's ZIP: opened, and every file unpacked that is not refused."""

    def target(content: bytes) -> str:
        folder.input.write_bytes(content)
        try:
            source = ArchiveSource(folder.input, TOTAL_MAX, files_max=1000)
        except InvalidValue:
            return "refused"
        word = "read"
        with source:
            for entry in source.entries():
                if entry.refused is not None:
                    word = "partly refused"
                    continue
                try:
                    path = source.fetch(entry.path, folder.staging)
                except Refused:
                    word = "partly refused"
                    continue
                assert path.stat().st_size == entry.size
                path.unlink()
        assert not list(folder.staging.iterdir())
        assert folder.holds_nothing_else()
        return word

    return target


def of_pictures(folder: Folder) -> Target:
    """A file of a dataset, as a decoder process looks at it and makes a training picture of it."""

    def target(content: bytes) -> str:
        folder.input.write_bytes(content)
        windows = ("file", "range", "stored")
        common = {
            "path": str(folder.input),
            "window": windows[len(content) % 3],
            "fit": ("pad", "crop", "stretch")[sum(content[:64]) % 3],
            "mask": {"border": 0.0, "corner": 0.1},
        }
        kept = folder.staging / "kept.png"
        try:
            facts, _ = run({**common, "do": "look", "salt": "00" * 16, "store": str(kept)})
            assert facts["width"] >= 1
            run({**common, "do": "square", "resolution": 16})
        except Refused:
            return "refused"
        except MemoryError:  # its process is bounded, and a decoder answers that, too
            return "out of its memory"
        finally:
            kept.unlink(missing_ok=True)
        return "read"

    return target


def of_verify(_: Folder) -> Target:
    """The body of POST /verify, as its decoder reads it."""

    def target(content: bytes) -> str:
        try:
            picture = read(content)
        except InvalidValue:
            return "refused"
        assert picture.levels.ndim == 2
        return "read"

    return target


TARGETS: dict[str, Callable[[Folder], Target]] = {
    "archive": of_archives,
    "image": of_pictures,
    "dicom": of_pictures,
    "verify": of_verify,
}


def seeds(kind: str) -> list[bytes]:
    """Files to begin with: good ones, and those that were thought of."""
    dicoms = [as_bytes(dicom(ramp(16), **changes)) for changes in _CHANGES]
    images = [rasters.encoded(name) for name in ("PNG", "JPEG", "WEBP", "BMP", "TIFF")]
    images += [png.whole(16), rasters.tiff(), min(REAL.rglob("*.jpeg")).read_bytes()]
    good = {f"NORMAL/{i}.png": png.whole(8 + i) for i in range(2)}
    found = {
        "archive": [case.build(good) for case in ARCHIVES],
        "image": [*images, *(case.build() for case in IMAGES)],
        "dicom": [*dicoms, *(case.build() for case in DICOMS)],
        "verify": [*images, *own_files(), dicoms[0], *(case.build() for case in IMAGES)],
    }[kind]
    return [content for content in found if len(content) <= SEED_MAX]


_CHANGES: tuple[dict[str, object], ...] = (
    {},
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"WindowCenter": [2048, 100], "WindowWidth": [4096, 50]},
    {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"},
    {"RescaleSlope": 2, "RescaleIntercept": -1024, "PixelPaddingValue": 0},
)


def own_files() -> list[bytes]:
    """Files as the service makes them, which tell of themselves."""
    from app.formats.encoding import FILE_FORMATS
    from library.identity import Identity, Origin

    origin = Origin("chest@1", "a" * 64, "b" * 64, "torch", "float32", 1.0)
    identity = Identity(origin, "NORMAL", 7)
    levels = (ramp(16, 255).astype("uint8"))[None]
    return [form.encoder()(levels, [identity])[0] for form in FILE_FORMATS.values()]
