"""DICOM files that are no radiograph, or mean harm: name -> (bytes, a word of the reason)."""

from __future__ import annotations

import struct
from typing import Any

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.dicoms import as_bytes, dicom
from tests.hostile.images import Cases

DEPTH = 3000  # of sequences: a reader that calls itself for each overflows
UNREAD = "cannot be decoded"


def cases() -> Cases:
    whole = as_bytes(dicom())
    return {
        "no-pixels.dcm": (as_bytes(dicom(PixelData=None)), "without an image"),
        "cut.dcm": (whole[: len(whole) - 3000], UNREAD),
        "short.dcm": (as_bytes(dicom(PixelData=b"12345678")), UNREAD),
        "huge.dcm": (as_bytes(dicom(Rows=65535, Columns=65535)), "more than is allowed"),
        "no-rows.dcm": (as_bytes(dicom(Rows=0)), "no picture"),
        "garbage.dcm": (bytes(128) + b"DICM" + b"\xff\x00garbage" * 50, ""),
        "preamble.dcm": (bytes(128) + b"DICM", ""),
        "directory.dcm": (directory(), "directory"),
        "report.dcm": (as_bytes(dicom(PixelData=None, Modality="SR")), "without an image"),
        "scan.dcm": (as_bytes(dicom(Modality="CT")), "not CR or DX"),
        "frames.dcm": (as_bytes(dicom(NumberOfFrames=3)), "3 frames"),
        "bits.dcm": (as_bytes(dicom(BitsStored=40)), "stores 40 bits"),
        "palette.dcm": (
            as_bytes(dicom(PhotometricInterpretation="PALETTE COLOR")), "false colours",
        ),
        "jpeg.dcm": (packed(JPEGBaseline8Bit, b"\xff\xd8garbage", bits=8), UNREAD),
        "jpeg-lossless.dcm": (packed(JPEGLosslessSV1, b"\xff\xd8\xff\xc3garbage"), UNREAD),
        "jpeg-ls.dcm": (packed(JPEGLSLossless, b"\xff\xd8\xff\xf7garbage"), UNREAD),
        "jpeg-2000.dcm": (packed(JPEG2000Lossless, b"\xff\x4f\xff\x51garbage"), UNREAD),
        "rle.dcm": (packed(RLELossless, b"\x02" + bytes(63) + b"garbage"), UNREAD),
        "film.dcm": (packed(MPEG2MPML, b"garbage"), UNREAD),
        "unknown-syntax.dcm": (packed("1.2.3.4.5", b"garbage"), UNREAD),
        "deep.dcm": (deep(whole), ""),
    }  # fmt: skip


def packed(syntax: str, content: bytes, bits: int = 16) -> bytes:
    """A DICOM that says it is compressed; its one fragment is garbage."""
    changes: dict[str, Any] = (
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} if bits == 8 else {}
    )
    made = dicom(PixelData=encapsulate([content]), **changes)
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID(syntax)
    return as_bytes(made)


def directory() -> bytes:
    made = dicom(PixelData=None, SOPClassUID="1.2.840.10008.1.3.10")
    made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    made.DirectoryRecordSequence = [Dataset()]
    return as_bytes(made)


def deep(whole: bytes) -> bytes:
    """A sequence in a sequence in a sequence …, of undefined lengths, before the pixels."""
    head = struct.pack("<HH2sHI", 0x0040, 0x0260, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    nested = (head + item) * DEPTH + ends * DEPTH
    at = whole.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    return whole[:at] + nested + whole[at:]
