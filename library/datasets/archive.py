"""A ZIP as a source of files, whatever it claims: nothing is written but one file at a time,
under a name of ours, and never more of it than is allowed."""

from __future__ import annotations

import contextlib
import re
import secrets
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from library.datasets.layout import is_junk
from library.datasets.sources import FILES_MAX, Entry
from library.errors import InvalidValue
from library.picture import FILE_MAX, Refused

RATIO_MAX = 200  # an 8-bit picture of one grey reaches 1,000, but a radiograph never 100
_FREE = 2**20  # bytes below which a ratio does not matter
NAME_MAX = 1024  # characters
_HEADER = 30  # bytes of a local file header, without name and extra field
_ENCRYPTED, _MASKED = 0x1, 0x2041
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


class ArchiveSource:
    """A ZIP file; its directory is read, and nothing is unpacked, when it is opened.

    total_max: bytes of all files together, unpacked.  Raises InvalidValue for what is no ZIP, or
    claims too much.  A context manager.
    """

    def __init__(self, path: Path, total_max: int, files_max: int = FILES_MAX) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise _refused(
                f"The archive is no whole ZIP ({error}).",
                "Was the upload cut off? Pack the folder again, and check it with `unzip -t`.",
            ) from None
        self._infos: dict[str, zipfile.ZipInfo] = {}
        # Not info.is_dir(), which fails where the name is empty.
        infos = [i for i in self._zip.infolist() if not i.orig_filename.endswith("/")]
        if len(infos) > files_max:
            raise _refused(
                f"The archive holds {len(infos)} files.", f"At most {files_max} are allowed."
            )
        if not infos:
            raise _refused("The archive holds no file.", "Pack a folder with images in it.")
        if any(info.header_offset < 0 for info in infos):
            raise _refused(
                "The archive is no whole ZIP (its directory names files outside of it).",
                "Pack the folder again.",
            )
        claimed = sum(info.file_size for info in infos)
        if claimed > total_max:
            raise _refused(
                f"The archive holds {claimed} bytes, unpacked.", f"At most {total_max} are allowed."
            )
        self._entries = self._checked(infos)

    def __enter__(self) -> ArchiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def entries(self) -> Iterator[Entry]:
        return iter(self._entries)

    def _checked(self, infos: list[zipfile.ZipInfo]) -> list[Entry]:
        # orig_filename is what the archive says; filename is cut at a NUL.
        names = Counter(info.orig_filename for info in infos)
        overlapping = _overlapping(infos, self._zip.start_dir)
        entries, told = [], set()
        for info in infos:
            name = info.orig_filename
            if is_junk(name.replace("\\", "/")) and ".." not in name:
                continue
            if names[name] > 1:
                reason: str | None = f"{names[name]} files of the archive have this name"
                if name in told:
                    continue
                told.add(name)
            else:
                reason = _claims(info) or (
                    "overlaps another file of the archive" if info in overlapping else None
                )
            shown = (name if len(name) <= NAME_MAX else name[:100] + "…") or "(no name)"
            if reason is None:
                self._infos[shown] = info
            entries.append(Entry(shown, info.file_size, reason))
        return entries

    def fetch(self, path: str, staging: Path) -> Path:
        """Unpack one file.  Raises Refused when it is not what the archive says of it."""
        info = self._infos[path]
        target = staging / secrets.token_hex(8)
        try:
            with self._zip.open(info) as packed, open(target, "xb") as out:
                left = info.file_size
                while part := packed.read(1 << 20):
                    left -= len(part)
                    if left < 0:
                        raise Refused("unpacks to more than the archive says")
                    out.write(part)
            if left:
                raise Refused("unpacks to less than the archive says")
            return target
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError,
                RuntimeError) as error:  # fmt: skip
            target.unlink(missing_ok=True)
            kind = re.split(r" for file|['\":]", str(error))[0].strip()[:100]
            raise Refused(f"cannot be unpacked ({kind or type(error).__name__})") from None
        except BaseException:
            with contextlib.suppress(OSError):
                target.unlink()
            raise


def _claims(info: zipfile.ZipInfo) -> str | None:
    """Why a file is refused for what the archive's directory says of it."""
    name = info.orig_filename
    if not name:
        return "has no name"
    if len(name) > NAME_MAX:
        return f"has a name of {len(name)} characters"
    if "\0" in name or any(ord(c) < 32 for c in name):
        return "has a name with control characters"
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        return "has an absolute name, which leads out of the dataset"
    if ".." in parts:
        return "has a name that leads out of the dataset"
    if "\\" in name:
        return "has a name with backslashes: pack with slashes"
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "is a symbolic link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is no file (a pipe, socket or device)"
    if info.flag_bits & (_ENCRYPTED | _MASKED & ~1):
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return f"is packed by method {info.compress_type}, which is not read"
    if name.lower().endswith(_ARCHIVES):
        return "is an archive inside the archive: unpack it first"
    if info.file_size > FILE_MAX:
        return f"{info.file_size} bytes are more than is allowed in one file ({FILE_MAX})"
    if info.file_size > _FREE and info.file_size > RATIO_MAX * max(1, info.compress_size):
        return f"unpacks to {info.file_size // max(1, info.compress_size)} times its size: a bomb"
    return None


def _overlapping(infos: list[zipfile.ZipInfo], end: int) -> set[zipfile.ZipInfo]:
    """Files whose bytes belong to another file, or to the directory, too."""
    found: set[zipfile.ZipInfo] = set()
    reached, last = -1, None
    for info in sorted(infos, key=lambda info: info.header_offset):
        if last is not None and info.header_offset < reached:
            found |= {info, last}
        until = info.header_offset + _HEADER + len(info.orig_filename) + info.compress_size
        if until > end:
            found.add(info)
        if until > reached:
            reached, last = until, info
    return found


def _refused(detail: str, remedy: str) -> InvalidValue:
    return InvalidValue(detail, field="file", remedy=remedy)
