"""Small radiographs as DICOM files, made by the tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

DX = UID("1.2.840.10008.5.1.4.1.1.1.1")
SIDE = 64


def ramp(side: int = SIDE, most: int = 4095) -> NDArray[np.uint16]:
    """A gradient of 12 bits, lighter to the lower right."""
    line = np.linspace(0, most, side)
    return np.rint((line[:, None] + line[None, :]) / 2).astype(np.uint16)


def dicom(pixels: NDArray[Any] | None = None, **changes: Any) -> Dataset:
    """A whole DX image: 16 bits allocated, 12 stored, PA; changes by keyword (None: without)."""
    levels = ramp() if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DX
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    dataset.SOPClassUID, dataset.SOPInstanceUID = DX, UID("2.25.1")
    dataset.Modality, dataset.ViewPosition = "DX", "PA"
    dataset.PatientID, dataset.PatientName = "JONES-77", "Jones^Ann"
    dataset.PatientSex, dataset.PatientAge, dataset.StudyDate = "F", "062Y", "20190312"
    dataset.AccessionNumber = "ACC-9"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Maker", "Model 3"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = levels.shape[:2]
    eight = levels.dtype.itemsize == 1
    dataset.BitsAllocated, dataset.BitsStored = (8, 8) if eight else (16, 12)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(levels.dtype.kind == "i")
    dataset.PixelData = levels.tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def saved(path: Path, dataset: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(dataset))
    return path


def as_bytes(dataset: Dataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return out.getvalue()
