"""WebDataset tars: members as tarfile writes them, labels of any kind."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.formats.encoding import FILE_FORMATS, Encoded
from app.formats.webdataset import WebDatasetForm, member
from library.identity import Identity, Origin

ORIGIN = Origin("chest@3", "a1" * 32, "b2" * 32, "onnxruntime", "float32", 0.7)


@given(name=st.from_regex(r"[0-9]{16}\.[a-z]{1,5}", fullmatch=True), size=st.integers(0, 5000))
def test_a_member_is_as_tarfile_writes_it(name: str, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    header, content, padding = member(name.encode(), bytes(size))
    assert header == entry.tobuf(tarfile.USTAR_FORMAT)
    assert len(content + padding) % 512 == 0


def test_labels_that_are_no_text_are_told() -> None:
    """Bytes of a folder's name that are not UTF-8 reach us as lone surrogates."""
    labels = ["\udc80", "胸部"]
    identities = [Identity(ORIGIN, label, 2**53 - 1 - i) for i, label in enumerate(labels)]
    form = WebDatasetForm(FILE_FORMATS["png"], labels)
    part = Encoded(0, identities, np.zeros((2, 4, 4), np.uint8), [b"one", b"other"])
    whole = form.head() + form.chunk(part) + b"".join(form.tail())
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        files = {name: archive.extractfile(name) for name in archive.getnames()}
        found = {name: file.read() for name, file in files.items() if file is not None}
    assert list(found)[:3] == [f"{2**53 - 1}.{suffix}" for suffix in ("png", "json", "cls")]
    assert found[f"{2**53 - 2}.png"] == b"other"
    assert [found[f"{i.seed}.cls"] for i in identities] == [b"0", b"1"]
    assert json.loads(found[f"{2**53 - 2}.json"])["label"] == "胸部"
    assert json.loads(found[f"{2**53 - 1}.json"])["seed"] == 2**53 - 1
    assert len(whole) % 10_240 == 0
