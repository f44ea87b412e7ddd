"""DICOM files of a downloaded set, for pipelines that take pydicom's datasets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from synthorax.errors import SynthoraxError

if TYPE_CHECKING:
    from pydicom import Dataset


def read_dicoms(path: Path) -> list[Dataset]:
    """The images of a ZIP, in its order.  Raises SynthoraxError without pydicom."""
    try:
        from pydicom import dcmread
    except ImportError:
        raise SynthoraxError(
            "DICOM datasets need pydicom.",
            "pip install 'synthorax[dicom]', or download(..., format=\"dicom\") for files.",
        ) from None
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dcm")]
        return [dcmread(io.BytesIO(archive.read(name))) for name in names]
