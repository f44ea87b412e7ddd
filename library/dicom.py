"""DICOM radiographs (CR, DX) through pydicom; compressed ones through its plug-ins.

The order is the standard's (PS3.3 C.11): stored values, modality LUT or rescale, VOI LUT or window,
then the photometric interpretation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.picture import Grey, Picture, Refused, Window, check_size, from_unit, stretch

_MODALITIES = ("CR", "DX", "RG", "RF", "OT", "")  # projections; a secondary capture may say OT
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_DIRECTORY = "1.2.840.10008.1.3.10"
_DEFLATED = "1.2.840.10008.1.2.1.99"
# What is told of a file; `library.datasets` decides what of it is ever kept, and how.
ATTRIBUTES = (
    "PatientID",
    "SOPInstanceUID",
    "AccessionNumber",
    "ViewPosition",
    "Modality",
    "PresentationIntentType",
    "BurnedInAnnotation",
    "PatientSex",
    "PatientAge",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDate",
    "SeriesDescription",
    "StudyDescription",
    "PerformedProcedureStepDescription",
)


def read(path: Path, window: Window) -> Picture:
    """Decode a DICOM file.  Raises Refused; pydicom is imported here."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that the standard does not allow
            syntax = read_file_meta_info(path).get("TransferSyntaxUID")
            if syntax == _DEFLATED:  # pydicom inflates it whole, however large it becomes
                raise Refused("is a deflated DICOM: store it uncompressed, or as JPEG 2000")
            dataset = dcmread(path)
            _check(dataset)
            return _picture(dataset, window)
    except InvalidDicomError:
        raise Refused("is no whole DICOM file") from None
    except RecursionError:
        raise Refused("is a DICOM whose sequences are nested too deep") from None
    except (Refused, MemoryError):
        raise
    except NotImplementedError:
        raise Refused("is a DICOM whose transfer syntax cannot be decoded here") from None
    except Exception as error:
        # A hostile file can raise anything in pydicom and its plug-ins.  Their words may hold
        # values of the file, a patient's name among them: only the kind of error is told.
        raise Refused(f"is a DICOM that cannot be decoded ({type(error).__name__})") from None


def _check(dataset: Any) -> None:
    """Raises Refused for what is no single radiograph, before its pixels are touched."""
    meta = getattr(dataset, "file_meta", {})
    if _DIRECTORY in (meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID")):
        raise Refused("is a DICOM directory, not an image")
    if "PixelData" not in dataset:
        kind = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        raise Refused("is a DICOM of real numbers" if kind else "is a DICOM without an image")
    if not dataset.PixelData:
        raise Refused("is a DICOM whose pixel data are empty")
    modality = str(dataset.get("Modality") or "")
    if modality not in _MODALITIES:
        raise Refused(f"is a DICOM of modality {modality[:16]!r}, not CR or DX")
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation"):
        if dataset.get(name) in (None, ""):
            raise Refused(f"is a DICOM that lacks {name}")
    check_size(int(dataset.Columns), int(dataset.Rows))
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise Refused(f"holds {frames} frames; one image a file is read")
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if not 1 <= stored <= allocated or allocated not in (8, 16, 32):
        raise Refused(f"is a DICOM that stores {stored} bits in {allocated}")
    if str(dataset.PhotometricInterpretation) == "PALETTE COLOR":
        raise Refused("is a DICOM in false colours (PALETTE COLOR)")


def _picture(dataset: Any, window: Window) -> Picture:
    photometric = str(dataset.PhotometricInterpretation)
    pixels = dataset.pixel_array
    depth, told = int(dataset.BitsStored), _attributes(dataset)
    if pixels.ndim == 3:
        return _of_colours(pixels, depth, told)
    if pixels.ndim != 2:
        raise Refused(f"is a DICOM of {pixels.ndim} dimensions")
    inverted = photometric == "MONOCHROME1"
    if photometric not in _MONOCHROME:
        raise Refused(f"is a DICOM of photometric interpretation {photometric[:32]!r}")
    stored = _stored_bits(pixels, dataset)
    valid = _not_padding(stored, dataset)
    return Picture(
        _levels(stored, valid, dataset, window, inverted), "DICOM", depth, 0.0, inverted, told
    )


def _of_colours(pixels: NDArray[Any], depth: int, told: Mapping[str, str]) -> Picture:
    if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise Refused(f"is a DICOM of {pixels.shape[2]} channels of {depth} bits")
    spread = pixels[::16, ::16].astype(np.int16)
    colour = float((spread.max(2) - spread.min(2)).mean())
    return Picture(Image.fromarray(pixels).convert("L"), "DICOM", depth, colour, attributes=told)


def _stored_bits(pixels: NDArray[Any], dataset: Any) -> NDArray[np.int64]:
    """Values of the stored bits alone: above them old files keep overlays."""
    bits = int(dataset.BitsStored)
    high = int(dataset.get("HighBit") or bits - 1)
    values = pixels.astype(np.int64)
    shift = high - (bits - 1)
    if shift > 0:
        values >>= shift
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    values &= (1 << bits) - 1
    if signed:
        values -= (values >> (bits - 1)) << bits
    return values


def _not_padding(stored: NDArray[np.int64], dataset: Any) -> NDArray[np.bool_] | None:
    """Which pixels are image; None where all are (PS3.3 C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None or padding == "":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(padding), int(padding if limit in (None, "") else limit)))
    is_padding = (stored >= low) & (stored <= high)
    return ~is_padding if is_padding.any() else None


def _levels(
    stored: NDArray[np.int64],
    valid: NDArray[np.bool_] | None,
    dataset: Any,
    window: Window,
    inverted: bool,
) -> Grey:
    from pydicom.pixels.processing import apply_modality_lut

    if window == "stored":
        low = int(stored.min())
        return from_unit((stored - low) / max(1, int(stored.max()) - low))
    values = stored
    if "ModalityLUTSequence" in dataset or "RescaleSlope" in dataset:
        values = apply_modality_lut(stored, dataset)
    # Mirrored here, where numbers are exact, so that both encodings of a picture end in the same
    # levels: rounding half to even is not symmetric.
    sign = -1 if inverted else 1
    if window == "range":
        return stretch(sign * values, valid)
    if dataset.get("VOILUTSequence"):
        return _by_table(values, valid, dataset.VOILUTSequence[0], inverted)
    if dataset.get("WindowCenter") not in (None, "") and dataset.get("WindowWidth"):
        center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
        function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
        if width >= 1 or (width > 0 and function != "LINEAR"):
            return from_unit(_windowed(sign * values, sign, center, width, function), valid)
    bits = int(dataset.BitsStored)
    if bits <= 8 and values is stored and int(dataset.get("PixelRepresentation") or 0) == 0:
        full = (1 << bits) - 1
        eight: NDArray[np.uint8]
        eight = np.rint((full - stored if inverted else stored) * (255 / full)).astype(np.uint8)
        if valid is not None:
            eight[~valid] = 0
        return Image.fromarray(eight)
    known = sign * (values if valid is None else values[valid])
    if not known.size:
        return np.zeros(values.shape, np.uint16)
    least, span = known.min(), float(known.max() - known.min())
    above = sign * values - least
    return from_unit(above / span if span else np.zeros(values.shape), valid)


def _windowed(
    values: NDArray[Any], sign: int, center: float, width: float, function: str
) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, onto [0, 1]; values are mirrored where sign is -1."""
    if function == "SIGMOID":
        away = values - sign * center
        return np.asarray(1 / (1 + np.exp(-4 * away / width)), np.float64)
    if function == "LINEAR_EXACT":
        return np.asarray((values - sign * center) / width + 0.5, np.float64)
    away = values - sign * (center - 0.5)
    if width == 1:
        return np.asarray(away > 0, np.float64)
    return np.asarray(away / (width - 1) + 0.5, np.float64)


def _by_table(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, item: Any, inverted: bool
) -> NDArray[np.uint16]:
    """The first VOI LUT of a file."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        table = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1").astype(np.int64)
    else:
        table = np.asarray(data, np.int64).ravel()
    if len(table) < count or not 1 <= bits <= 16:
        raise Refused("is a DICOM whose VOI LUT is shorter than it says")
    if first > 32767 and values.min() < 0:
        first -= 65536  # the descriptor is without a sign where the pixels have one
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, count - 1)
    full = (1 << bits) - 1
    found = np.clip(table[index], 0, full)
    return from_unit((full - found if inverted else found) / full, valid)


def _first(value: Any) -> float:
    """The first of one or several windows."""
    try:
        return float(value)
    except TypeError:
        return float(value[0])


def _attributes(dataset: Any) -> dict[str, str]:
    found = {}
    for name in ATTRIBUTES:
        value = dataset.get(name)
        if value not in (None, ""):
            found[name] = str(value).strip()[:256]
    projection = dataset.get("ViewCodeSequence")
    if projection and "ViewPosition" not in found:
        meaning = str(projection[0].get("CodeMeaning") or "").lower()
        for view, words in (("PA", ("postero",)), ("AP", ("antero-p", "anterop")),
                            ("LATERAL", ("lateral",))):  # fmt: skip
            if meaning.startswith(words):
                found["ViewPosition"] = view
    return found
