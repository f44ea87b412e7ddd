"""DICOM files: read back by pydicom, judged by dciodvfy, and hostile ones refused."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import struct
import subprocess
import tracemalloc
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from app.formats import dicom
from library.identity import Identity, Origin
from library.latents import TRUNCATION_MAX

ORIGIN = Origin("chest@3", "a1" * 32, "b2" * 32, "onnxruntime", "float32", 0.7)
SAMPLE = Identity(ORIGIN, "PNEUMONIA", 42)
# Bytes of a folder's name that are not UTF-8 reach us as lone low surrogates.
LABELS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]),
    max_size=200,
)
ODD_LABELS = [
    None,
    "",
    "NORMAL",
    "肺炎 пневмония é 🫁",
    "a\\b^c=d",
    "x" * 200,
    "肺" * 200,
    "🫁" * 200,
    "\\" * 200,
    "\x00\x1b\x7f\r\n\t\u2028",
    "caf\udce9",
    "  ",
]


def levels(n: int = 1, height: int = 16, width: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width), np.uint8)


def encoded(identity: Identity, image: NDArray[np.uint8] | None = None) -> bytes:
    return dicom.encode(levels() if image is None else image[None], [identity])[0]


def opened(content: bytes) -> pydicom.FileDataset:
    """All elements, each parsed: what pydicom finds wrong with a value is a warning, an error."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    for element in dataset.iterall():
        assert element.value is not Ellipsis
    return dataset


def changed(**values: Any) -> bytes:
    dataset = opened(encoded(SAMPLE))
    for name, value in values.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_the_file_says_that_it_is_synthetic() -> None:
    data = opened(encoded(SAMPLE))
    assert data.SyntheticData == "YES"
    assert data.SOPClassUID == data.file_meta.MediaStorageSOPClassUID
    assert data.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert data.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert data.SpecificCharacterSet == "ISO_IR 192"
    assert list(data.ImageType) == ["DERIVED", "SECONDARY", "SYNTHETIC"]
    assert (data.Modality, data.ConversionType) == ("OT", "SYN")
    for text in (data.DerivationDescription, data.PatientComments, data.ImageComments):
        assert text.startswith("Synthetic image; not for diagnosis")
    assert data.SeriesDescription == "SYNTHETIC, not for diagnosis PNEUMONIA"
    assert data.StudyDescription == "SYNTHETIC chest@3"
    (equipment,) = data.ContributingEquipmentSequence
    (purpose,) = equipment.PurposeOfReferenceCodeSequence
    code = codes.DCM.SynthesizingEquipment
    assert code.value == purpose.CodeValue == "109100"
    assert code.scheme_designator == purpose.CodingSchemeDesignator == "DCM"
    assert code.meaning == purpose.CodeMeaning == "Synthesizing Equipment"
    assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("Synthorax", "chest@3")
    assert list(equipment.SoftwareVersions) == ["a1" * 16, "b2" * 16]


def test_no_patient_is_invented() -> None:
    data = opened(encoded(SAMPLE))
    assert data.PatientName == "SYNTHETIC^PNEUMONIA"
    assert data.PatientID.startswith("SYN-")
    assert (data.PatientBirthDate, data.PatientSex) == ("", "")
    assert data.PatientIdentityRemoved == "YES"
    assert data.ReferringPhysicianName == data.AccessionNumber == data.PatientOrientation == ""
    assert "BurnedInAnnotation" not in data
    assert "PatientAge" not in data
    assert "InstanceCreationDate" not in data
    assert (data.StudyDate, data.StudyTime) == ("19000101", "000000")  # no clock


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (64, 64), (7, 256)])
def test_the_pixels_are_read_back(height: int, width: int) -> None:
    image = levels(1, height, width)[0]
    content = encoded(SAMPLE, image)
    data = opened(content)
    assert np.array_equal(data.pixel_array, image)
    assert data.PhotometricInterpretation == "MONOCHROME2"
    assert (data.BitsAllocated, data.BitsStored, data.HighBit) == (8, 8, 7)
    assert (data.SamplesPerPixel, data.PixelRepresentation) == (1, 0)
    assert data.LossyImageCompression == "00"
    assert np.array_equal(dicom.pixels(content), image)


def test_rows_that_are_not_contiguous_are_read() -> None:
    images = levels(4, 20, 30)[::2, ::3, ::-1].transpose(0, 2, 1)
    contents = dicom.encode(images, [SAMPLE, SAMPLE._replace(seed=43)])
    for image, content in zip(images, contents, strict=True):
        assert np.array_equal(dicom.pixels(content), image)


def test_a_batch_holds_each_sample_as_it_is_alone() -> None:
    images = levels(6)
    samples = [SAMPLE._replace(label=label, seed=i) for i, label in enumerate(["A", None, "B"] * 2)]
    contents = dicom.encode(images, samples)
    assert len(contents) == 6
    for image, sample, content in zip(images, samples, contents, strict=True):
        assert content == encoded(sample, image)
        assert dicom.facts(content) == sample.facts()
    assert dicom.encode(images[:0], []) == []
    with pytest.raises(ValueError, match="zip"):
        dicom.encode(images, samples[:5])


@pytest.mark.parametrize("label", ODD_LABELS)
def test_the_bytes_are_those_that_pydicom_writes(label: str | None) -> None:
    content = encoded(SAMPLE._replace(label=label))
    file = io.BytesIO()
    opened(content).save_as(file, enforce_file_format=True)
    assert file.getvalue() == content


@settings(max_examples=60, deadline=None)
@given(
    label=st.none() | LABELS,
    seed=st.integers(0, 2**53 - 1),
    truncation=st.floats(0, TRUNCATION_MAX, exclude_min=True),
    model=st.text(max_size=80),
)
def test_any_facts_are_read_back(
    label: str | None, seed: int, truncation: float, model: str
) -> None:
    origin = dataclasses.replace(ORIGIN, truncation=truncation, model=model)
    sample = Identity(origin, label, seed)
    content = encoded(sample)
    assert dicom.facts(content) == sample.facts()
    data = opened(content)
    assert data.InstanceNumber == seed % 2**31
    assert str(data.PatientName).startswith("SYNTHETIC")
    for text in (str(data.PatientName), data.SeriesDescription, data.StudyDescription):
        assert len(text.encode()) <= 64
        assert text.isprintable()
        assert "\\" not in text
    family, _, given_name = str(data.PatientName).partition("^")
    assert family == "SYNTHETIC"
    assert given_name
    assert not {"^", "="} & set(given_name)


@pytest.mark.parametrize("label", ODD_LABELS)
def test_the_facts_are_plain_ascii(label: str | None) -> None:
    sample = SAMPLE._replace(label=label)
    data = opened(encoded(sample))
    notice, facts = data.ImageComments.split("\r\n")
    assert notice == dicom.NOTICE
    assert facts.isascii()
    assert facts.isprintable()
    assert json.loads(facts) == sample.facts()


def test_a_label_stays_readable_where_the_vr_cuts_it() -> None:
    data = opened(encoded(SAMPLE._replace(label="a\\b^c=d é")))
    assert data.PatientName == "SYNTHETIC^a_b_c_d é"
    assert data.SeriesDescription == "SYNTHETIC, not for diagnosis a_b_c_d é"
    assert opened(encoded(SAMPLE._replace(label=None))).PatientName == "SYNTHETIC^UNLABELLED"


def test_facts_longer_than_image_comments_are_refused() -> None:
    with pytest.raises(ValueError, match="DICOM holds 10240"):
        encoded(SAMPLE._replace(label="x" * 10_240))


def uids(sample: Identity) -> tuple[str, str, str, str]:
    data = opened(encoded(sample))
    assert data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
    return data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID


CHANGES = {
    "version_digest": SAMPLE._replace(origin=dataclasses.replace(ORIGIN, version_digest="c" * 64)),
    "engine_digest": SAMPLE._replace(origin=dataclasses.replace(ORIGIN, engine_digest="c" * 64)),
    "truncation": SAMPLE._replace(origin=dataclasses.replace(ORIGIN, truncation=0.71)),
    "label": SAMPLE._replace(label="NORMAL"),
    "no label": SAMPLE._replace(label=None),
    "seed": SAMPLE._replace(seed=43),
}


@pytest.mark.parametrize("fact", CHANGES)
def test_each_fact_decides_the_uids_of_its_levels(fact: str) -> None:
    patient, study, series, instance = (
        one == other for one, other in zip(uids(SAMPLE), uids(CHANGES[fact]), strict=True)
    )
    assert not instance
    assert study == series == (fact == "seed")
    assert patient == (fact in ("seed", "engine_digest", "truncation"))


def test_what_decides_no_pixel_decides_no_uid() -> None:
    origin = dataclasses.replace(ORIGIN, model="other@9", backend="torch", precision="float16")
    assert uids(SAMPLE._replace(origin=origin)) == uids(SAMPLE)


def test_uids_are_uuids_under_2_25() -> None:
    seen = set()
    for seed in range(50):
        data = opened(encoded(SAMPLE._replace(seed=seed)))
        meta = data.file_meta
        seen.add(data.SOPInstanceUID)
        for uid in (
            data.SOPInstanceUID,
            data.StudyInstanceUID,
            data.SeriesInstanceUID,
            meta.ImplementationClassUID,
        ):
            assert UID(uid).is_valid
            assert uid.startswith("2.25.")
            number = uuid.UUID(int=int(uid.removeprefix("2.25.")))
            assert (number.version, number.variant) == (8, uuid.RFC_4122)
        assert len({data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID}) == 3
    assert len(seen) == 50


def test_the_uids_of_a_sample_never_change() -> None:
    """A new derivation would give the samples in users' archives second names."""
    assert uids(SAMPLE) == (
        "SYN-bf6fd567564c79b4e5400085",
        "2.25.147124345252171698806450604071535763116",
        "2.25.227948731483666058815758585757954213262",
        "2.25.271263782969601481906531604415113824666",
    )


def test_the_same_sample_is_the_same_bytes() -> None:
    first = encoded(SAMPLE)
    dicom._parts.cache_clear()
    assert encoded(Identity(dataclasses.replace(ORIGIN), "PNEUMONIA", 42)) == first
    assert encoded(SAMPLE, levels(seed=1)[0]) != first


# dicom3tools 1.00~20220618 is older than Synthetic Data (0008,001C), of the standard's 2023 texts.
UNKNOWN_TAG = {
    "(0x0008,0x001c)  ?  - Warning - Unrecognized tag - assuming explicit value representation OK",
    "Error - Attribute with an even group number is not a recognized standard attribute"
    " - (0x0008,0x001c)  ? ",
    "Warning - Attribute is not present in standard DICOM IOD - (0x0008,0x001c)  ? ",
    "Warning - Dicom dataset contains attributes not present in standard DICOM IOD"
    " - this is a Standard Extended SOP Class",
}


def verdict(content: bytes, folder: Path) -> list[str]:
    """All that dciodvfy says but for the tag that it does not know: the IOD's name if all is well.

    Its exit status tells little: 0 with most errors.
    """
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (apt-get install dicom3tools)")
    path = folder / "sample.dcm"
    path.write_bytes(content)
    done = subprocess.run([program, str(path)], capture_output=True, check=False)
    lines = (done.stdout + b"\n" + done.stderr).decode(errors="replace").split("\n")
    return [line for line in lines if line and line not in UNKNOWN_TAG]


@pytest.mark.parametrize("label", ODD_LABELS)
def test_dciodvfy_accepts_the_file(label: str | None, tmp_path: Path) -> None:
    assert verdict(encoded(SAMPLE._replace(label=label)), tmp_path) == ["SCImage"]


def test_dciodvfy_accepts_odd_sizes_and_the_last_seed(tmp_path: Path) -> None:
    sample = SAMPLE._replace(seed=2**53 - 1)
    assert verdict(encoded(sample, levels(1, 3, 5)[0]), tmp_path) == ["SCImage"]


def test_dciodvfy_s_complaints_are_seen(tmp_path: Path) -> None:
    said = verdict(changed(ConversionType="WRONG", Laterality="L"), tmp_path)
    assert (
        "Warning - Unrecognized defined term <WRONG> for value 1 of attribute <Conversion Type>"
        in (said)
    )
    assert any(line.startswith("Error") and "<Laterality>" in line for line in said)


@pytest.mark.parametrize(
    "values",
    [
        {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15},
        {"BitsStored": 7},
        {"HighBit": 6},
        {"PixelRepresentation": 1},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"NumberOfFrames": 2},
        {"Rows": 15},
        {"Rows": 17},
        {"Rows": 0},
        {"Columns": 4097, "Rows": 1, "PixelData": bytes(4098)},
        {"Rows": 65535, "Columns": 65535},
        {"PixelData": b""},
    ],
    ids=" ".join,
)
def test_other_pixels_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        dicom.pixels(changed(**values))


def test_one_frame_may_be_counted() -> None:
    assert np.array_equal(dicom.pixels(changed(NumberOfFrames=1)), levels()[0])


def test_implicit_vr_is_read() -> None:
    file = io.BytesIO()
    dataset = opened(encoded(SAMPLE))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    dataset.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=True)
    assert np.array_equal(dicom.pixels(file.getvalue()), levels()[0])
    assert dicom.facts(file.getvalue()) == SAMPLE.facts()


def test_a_side_of_4096_is_read() -> None:
    image = levels(1, 4096, 3)[0]
    assert np.array_equal(dicom.pixels(encoded(SAMPLE, image)), image)


def test_compressed_pixels_are_refused() -> None:
    dataset = opened(encoded(SAMPLE))
    dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    with pytest.raises(ValueError, match="transfer syntax RLE Lossless"):
        dicom.pixels(file.getvalue())


def test_a_deflated_file_is_refused_before_it_is_inflated() -> None:
    dataset = opened(encoded(SAMPLE))
    dataset.PixelData = bytes(64 << 20)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    tracemalloc.start()
    with pytest.raises(ValueError, match="transfer syntax Deflated"):
        dicom.pixels(content)
    assert dicom.facts(content) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(content) < 1 << 20
    assert peak < 4 << 20


def test_pixels_that_are_a_number_are_not_allocated() -> None:
    content = encoded(SAMPLE)
    size = levels()[0].size
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"UL", 4, 4_000_000_000)
    with pytest.raises(ValueError, match="pixels"):
        dicom.pixels(content[: -size - 12] + element)


def test_big_endian_is_refused() -> None:
    ours, other = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"
    content = encoded(SAMPLE)
    assert content.count(ours) == 1
    with pytest.raises(ValueError, match="transfer syntax Explicit VR Big Endian"):
        dicom.pixels(content.replace(ours, other))


@pytest.mark.parametrize(
    "comments",
    [
        "",
        "Taken on a Tuesday",
        '{"seed": 1}',
        dicom.NOTICE,
        dicom.NOTICE + "\r\n{",
        dicom.NOTICE + '\r\n["a"]',
        dicom.NOTICE + "[" * 9_000,
    ],
)
def test_comments_without_facts_have_none(comments: str) -> None:
    assert dicom.facts(changed(ImageComments=comments)) is None


@pytest.mark.parametrize(
    "content", [b"", b"DICM", bytes(200), bytes(128) + b"DICM", b"\x89PNG" * 99]
)
def test_what_is_no_dicom_is_refused(content: bytes) -> None:
    assert dicom.facts(content) is None
    with pytest.raises(ValueError, match="not a readable DICOM"):
        dicom.pixels(content)


@pytest.mark.parametrize("strict", [True, False])
@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, 2_400),
    edits=st.lists(
        st.tuples(st.integers(132, 2_400), st.binary(min_size=1, max_size=4)), max_size=4
    ),
)
def test_damaged_files_are_read_or_refused(
    strict: bool, cut: int, edits: list[tuple[int, bytes]]
) -> None:
    content = bytearray(encoded(SAMPLE))
    for at, new in edits:
        content[at : at + len(new)] = new
    del content[max(len(content) - cut, 0) :]
    with warnings.catch_warnings():
        if not strict:  # a service does not turn pydicom's warnings into errors
            warnings.simplefilter("ignore")
        found = dicom.facts(bytes(content))
        assert found is None or isinstance(found, dict)
        try:
            image = dicom.pixels(bytes(content))
        except ValueError:
            return
    assert image.dtype == np.uint8
    assert image.ndim == 2
    assert max(image.shape) <= dicom.SIDE_MAX
