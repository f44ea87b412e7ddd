"""Bad DICOM files: without a picture, with less or more than they say, or not to be decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from tests.hostile.cases import Case
from tests.hostile.deflate import MIB, deflated_zeros

SIDE = 64
LEVELS = 2000  # of nested sequences: Python's limit is 1,000 calls
INFLATED = 600 * MIB
_META = 144  # preamble, DICM and the length of the file meta information stand before it
_EIGHT_BITS: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}

_SHORT = ("decode", "pixel data", "length", "short", "truncated", "bytes", "incomplete")
_LARGE = ("pixel", "large", "rows", "allowed", "bytes")
_NO_PIXELS = ("without an image", "no image", "pixel", "directory", "report")
_CODEC = ("decode", "transfer syntax", "compress", "pixel", "fragment", "frame")
_BROKEN = ("whole", "dicom", "decode", "image")


def good(**changes: Any) -> bytes:
    """A whole Digital X-Ray of 64x64, 12 bits stored in 16; changes by keyword (None: without)."""
    return _written(_dataset(**changes))


def _dataset(syntax: str = ExplicitVRLittleEndian, **changes: Any) -> Dataset:
    line = np.arange(SIDE, dtype=np.uint16)
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, UID("2.25.10")
    made.StudyInstanceUID, made.SeriesInstanceUID = UID("2.25.11"), UID("2.25.12")
    made.StudyDate, made.Modality, made.ViewPosition = "20200101", "DX", "PA"
    made.PresentationIntentType = "FOR PRESENTATION"
    made.PatientID, made.PatientName, made.PatientSex = "HOSTILE-1", "Doe^Jane", "F"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = SIDE, SIDE
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = 0
    made.PixelData = ((line[:, None] + line[None, :]) * 32).astype("<u2").tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    # Not pydicom's own, which name its version.
    made.file_meta.ImplementationClassUID = UID("2.25.13")
    made.file_meta.ImplementationVersionName = "HOSTILE"
    return made


def _written(dataset: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return out.getvalue()


def _compressed(syntax: str, fragment: bytes, **changes: Any) -> bytes:
    """A DICOM that says it is compressed; its one fragment is this."""
    return _of_fragments(syntax, encapsulate([fragment]), **changes)


def _of_fragments(syntax: str, encapsulated: bytes, **changes: Any) -> bytes:
    made = _dataset(syntax, PixelData=encapsulated, **changes)
    made["PixelData"].is_undefined_length = True
    return _written(made)


def _no_fragments() -> bytes:
    """An empty offset table, and the end."""
    return _of_fragments(JPEGLosslessSV1, struct.pack("<HHI", 0xFFFE, 0xE000, 0))


def _cut() -> bytes:
    content = good()
    return content[: len(content) - SIDE * SIDE]  # half of its 16-bit pixels


def _directory() -> bytes:
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType, record.PatientID = "PATIENT", "HOSTILE-1"
    made = _dataset(SOPClassUID=MediaStorageDirectoryStorage)
    for element in list(made):
        if element.keyword not in ("SOPClassUID", "SOPInstanceUID"):
            del made[element.tag]
    made.FileSetID, made.FileSetConsistencyFlag = "HOSTILE", 0
    made.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    made.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    made.DirectoryRecordSequence = [record]
    del made.SOPClassUID, made.SOPInstanceUID  # a directory has them in its file meta alone
    return _written(made)


def _report() -> bytes:
    made = _dataset(SOPClassUID=BasicTextSRStorage, Modality="SR")
    for element in list(made.group_dataset(0x0028)):
        del made[element.tag]
    del made.PixelData
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.TextValue = "No acute cardiopulmonary process."
    made.ValueType, made.ContinuityOfContent, made.ContentSequence = "CONTAINER", "SEPARATE", [text]
    return _written(made)


def _before_pixels(inserted: bytes) -> bytes:
    content = good()
    at = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    return content[:at] + inserted + content[at:]


def _nested() -> bytes:
    """A sequence in a sequence in a sequence …, of undefined lengths, before good pixels.

    Of defined lengths pydicom reads each when it is asked for; of these it must look for the end.
    """
    begin = struct.pack("<HH2sHI", 0x0040, 0x0260, b"SQ", 0, 0xFFFFFFFF)
    begin += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return _before_pixels(begin * LEVELS + end * LEVELS)


def _inflating() -> bytes:
    """Good pixels behind 600 MiB of zeros in a private element; all is deflated (PS3.5 A.5)."""
    plain = _written(_dataset(ExplicitVRLittleEndian))
    body = plain[_META + struct.unpack("<I", plain[_META - 4 : _META])[0] :]
    at = body.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    deflating = _written(_dataset(DeflatedExplicitVRLittleEndian))
    head = deflating[: _META + struct.unpack("<I", deflating[_META - 4 : _META])[0]]
    creator = struct.pack("<HH2sH", 0x7FDF, 0x0010, b"LO", 8) + b"HOSTILE "
    zeros = struct.pack("<HH2sHI", 0x7FDF, 0x1001, b"OB", 0, INFLATED)

    before = body[:at] + creator + zeros
    return head + deflated_zeros(INFLATED, before, body[at:])


def _case(name: str, words: tuple[str, ...], build: Callable[[], bytes]) -> Case:
    return Case(name, f"NORMAL/{name}.dcm", words, build)


DICOMS: tuple[Case, ...] = (
    _case("no-pixels", _NO_PIXELS, lambda: good(PixelData=None)),
    _case("empty-pixels", (*_NO_PIXELS, "empty"), lambda: good(PixelData=b"")),
    _case("cut", _SHORT, _cut),
    _case("short-pixels", _SHORT, lambda: good(PixelData=bytes(100))),
    _case("claims-65535", _LARGE, lambda: good(Rows=65535, Columns=65535)),
    _case("no-rows", (*_LARGE, "no picture"), lambda: good(Rows=0)),
    _case("without-rows", ("rows", "lacks"), lambda: good(Rows=None)),
    _case("garbage", _BROKEN, lambda: bytes(128) + b"DICM" + b"\xff\xfe garbage" * 100),
    _case("preamble-only", _BROKEN, lambda: bytes(128) + b"DICM"),
    _case("dicomdir", _NO_PIXELS, _directory),
    _case("structured-report", _NO_PIXELS, _report),
    _case("frames", ("frame", "one image"),
          lambda: good(NumberOfFrames=3, PixelData=bytes(3 * 2 * SIDE * SIDE))),
    _case("burned-in", ("burn", "letters", "annotation"),
          lambda: good(BurnedInAnnotation="YES")),
    _case("bits", ("bits",), lambda: good(BitsStored=20, HighBit=19)),
    _case("palette", ("palette", "colour", "color"),
          lambda: good(PhotometricInterpretation="PALETTE COLOR")),
    _case("jpeg", _CODEC,
          lambda: _compressed(JPEGBaseline8Bit, b"\xff\xd8\xff\xe0garbage", **_EIGHT_BITS)),
    _case("jpeg-lossless", _CODEC,
          lambda: _compressed(JPEGLosslessSV1, b"\xff\xd8\xff\xc3garbage")),
    _case("jpeg-ls", _CODEC, lambda: _compressed(JPEGLSLossless, b"\xff\xd8\xff\xf7garbage")),
    _case("jpeg-2000", _CODEC, lambda: _compressed(JPEG2000Lossless, b"\xff\x4f\xff\x51garbage")),
    # Two segments (a 16-bit sample has two bytes) that are said to begin beyond the data.
    _case("rle", _CODEC, lambda: _compressed(
        RLELossless, struct.pack("<16I", 2, 1 << 30, 1 << 31, *[0] * 13) + b"garbage")),
    _case("mpeg", _CODEC,
          lambda: _compressed(MPEG2MPML, b"\x00\x00\x01\xb3garbage", **_EIGHT_BITS)),
    _case("unknown-syntax", _CODEC, lambda: _compressed("1.2.3.4.5", b"garbage")),
    _case("no-fragments", (*_CODEC, "empty"), _no_fragments),
    # pydicom would inflate it whole, and find a good picture behind 600 MB of zeros.
    _case("inflating", ("deflated",), _inflating),
    _case("nested", ("nested", "deep", "decode", "recursion", "whole"), _nested),
)  # fmt: skip
