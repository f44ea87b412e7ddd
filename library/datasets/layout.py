"""What the folders of a dataset say: a class, a split, both, or neither."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "held_out",
    "testing": "held_out",
    "held_out": "held_out",
    "heldout": "held_out",
    "held-out": "held_out",
}
UNLABELLED = "unlabelled"
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
LABEL_MAX = 100  # characters


def normal(path: str) -> str:
    """A path with one spelling of accented letters: macOS and Linux differ in theirs."""
    return unicodedata.normalize("NFC", path)


def is_junk(path: str) -> bool:
    """What systems leave beside files: hidden files, thumbnails, resource forks."""
    return any(part.startswith(".") or part.lower() in _JUNK for part in path.split("/"))


@dataclass(frozen=True)
class Layout:
    """root: leading folders that say nothing; kind: splits, classes or flat."""

    root: str
    kind: str

    def below(self, path: str) -> str:
        return path.removeprefix(self.root)

    def place(self, path: str) -> tuple[str | None, str | None]:
        """(label, split) of a file.  No label: it stands beside the class folders."""
        parts = self.below(path).split("/")
        split = None
        if self.kind == "splits":
            split = SPLIT_OF[parts.pop(0).lower()] if len(parts) > 1 else None
            if split is None:
                return None, None
            return (parts[0] if len(parts) > 1 else UNLABELLED), split
        if self.kind == "flat":
            return UNLABELLED, None
        return (parts[0] if len(parts) > 1 else None), None


def recognise(paths: Iterable[str]) -> Layout:
    """The layout of a set of files' paths, whatever their order.

    One folder around everything, as archives have it, is no class, unless files lie in it.
    """
    tree = _Tree()
    for path in paths:
        tree.add(path.split("/"))
    root = ""
    while not tree.files and len(tree.folders) == 1:
        name, below = next(iter(tree.folders.items()))
        if name.lower() in SPLIT_OF or below.files:
            break
        root, tree = f"{root}{name}/", below
    folders = list(tree.folders)
    if folders and not tree.files and all(name.lower() in SPLIT_OF for name in folders):
        return Layout(root, "splits")
    return Layout(root, "classes" if folders else "flat")


class _Tree:
    """Folders and whether files lie in them; as deep as it matters, so that it stays small."""

    def __init__(self) -> None:
        self.folders: defaultdict[str, _Tree] = defaultdict(_Tree)
        self.files = False

    def add(self, parts: list[str]) -> None:
        node = self
        for part in parts[:-1][:8]:
            node = node.folders[part]
        node.files = True


def check_label(label: str) -> str | None:
    """Why a label cannot be one: it is a part of addresses and file names.  None: it can."""
    if not label or len(label) > LABEL_MAX:
        return f"its label has {len(label)} characters (1 to {LABEL_MAX} are allowed)"
    if label in (".", "..", "_") or any(not c.isprintable() or c in "/\\" for c in label):
        return "its label holds a slash or characters that cannot be shown"
    return None
