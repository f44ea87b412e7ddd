"""Reader studies on the disk: blinded files, orders, answers that survive, honest statistics."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from app.formats import png
from library import atomic
from library.errors import Conflict, InvalidValue, NotFound
from library.identity import Identity, Origin
from library.reader_studies import design, files, folder, statistics
from library.reader_studies.answers import Log
from library.reader_studies.answers_csv import as_csv
from library.reader_studies.folder import ReaderStudy, by_token
from library.reader_studies.forgetting import forget, holding
from library.reader_studies.removal import remove_reader
from library.reader_studies.results import of_reader, results
from tests import blinding

SIDE = 32
RIGHT = {"answer": "real", "confidence": None, "milliseconds": 900}


def levels(number: int, noise: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture that compresses well, or badly."""
    random = np.random.default_rng(number)
    if noise:
        return random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return np.full((SIDE, SIDE), random.integers(0, 256), np.uint8)


def made(data_dir: Path, per_label: int = 6, **given: Any) -> ReaderStudy:
    """A study whose real images are noise, in two classes."""
    wanted = {"per_label": per_label, "seed": 1, **given}
    found = design.resolve(wanted, ["A", "B"])
    key: list[dict[str, Any]] = []
    for label in found.labels:
        for i in range(per_label):
            key.append({"kind": "real", "label": label, "file_sha256": f"{label}{i}"})
            key.append({"kind": "synthetic", "label": label, "seed": i})
    order = np.random.default_rng(2).permutation(len(key))
    images = [files.encode(levels(int(i), key[i]["kind"] == "real")) for i in order]
    items = [{"id": f"{n:08x}", **key[i]} for n, i in enumerate(order)]
    record = {
        "design": found.as_dict(), "model": "m@1", "digest": "d", "resolution": SIDE,
        "dataset": {"id": "ds-1", "name": "set", "fingerprint": "f"}, "patients": 2 * per_label,
        "unseen": True,
    }  # fmt: skip
    engine = {"digest": "e", "backend": "onnxruntime", "precision": "float32"}
    return folder.create(
        data_dir, folder.new_identity(), record, {"engine": engine, "items": items}, images
    )


def read_all(study: ReaderStudy, reader: folder.Reader, accuracy: float, seed: int = 0) -> None:
    """A reader who consents, is right so often, and finishes; as the log has it, at once."""
    random = np.random.default_rng(seed)
    at = "2026-01-01T00:00:00.000+00:00"
    events: list[dict[str, Any]] = [{"event": "consent", "signed": "R. Reader", "text_sha256": "0"}]
    for place, item in enumerate(reader.order):
        kind = study.key[item]["kind"]
        other = {"real": "synthetic", "synthetic": "real"}[kind]
        said = kind if random.random() < accuracy else other
        given = {"answer": said, "confidence": 3, "milliseconds": 1000}
        events.append({"event": "answer", "place": place, **given})
    events.append({"event": "finish"})
    path = study.path / "readers" / f"{reader.id}.jsonl"
    path.write_text("".join(json.dumps({**event, "at": at}) + "\n" for event in events))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 80), st.integers(1, 80))))
@settings(max_examples=30, deadline=None)
def test_a_file_holds_the_pixels_and_has_a_length_of_its_shape_alone(
    picture: np.ndarray[Any, np.dtype[np.uint8]],
) -> None:
    content = files.encode(picture)
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == "L"
        assert not image.info
        assert np.array_equal(np.asarray(image), picture)
    assert len(content) == len(files.encode(np.zeros_like(picture)))


def test_large_images_have_a_length_of_their_shape_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    assert len(files.encode(noise)) == files.length(512)


ORIGIN = Origin("m@1", "d", "e", "onnxruntime", "float32", 1.0)


def _compressed(picture: np.ndarray[Any, np.dtype[np.uint8]], _synthetic: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _marked(picture: np.ndarray[Any, np.dtype[np.uint8]], synthetic: bool) -> bytes:
    """As every sample of the service is; a real image with a chunk of the same length."""
    chunk = files._chunk(b"tEXt", b"Comment\0" + (b"S" if synthetic else b"R"))
    plain = files.encode(picture)
    return plain[:33] + (chunk if synthetic else chunk.replace(b"tEXt", b"zTXt")) + plain[33:]


def _samples(picture: np.ndarray[Any, np.dtype[np.uint8]], synthetic: bool) -> bytes:
    (content,) = png.encode(picture[None], [Identity(ORIGIN, "A", 1)])
    return content if synthetic else files.encode(picture)


@pytest.mark.parametrize("encode", [_compressed, _marked, _samples])
def test_the_classifier_finds_what_is_planted_in_files(encode: Any) -> None:
    synthetic = [bool(i % 2) for i in range(60)]
    rows = [blinding.of_file(encode(levels(i, not s), s)) for i, s in enumerate(synthetic)]
    area, p = blinding.told(rows, synthetic, range(60))
    assert area > 0.9
    assert p == 0.001
    plain = [blinding.of_file(files.encode(levels(i, not s))) for i, s in enumerate(synthetic)]
    assert len(set(map(tuple, plain))) == 1


def test_the_classifier_finds_planted_times_and_orders() -> None:
    random = np.random.default_rng(0)
    synthetic = random.permutation(np.arange(200) % 2 == 1).tolist()
    slow = [[random.normal(10 + 2 * s), 1.0] for s in synthetic]
    assert blinding.told(slow, synthetic, range(200))[1] == 0.001
    in_turn = [blinding.of_place(i) for i in range(200)]
    assert blinding.told(in_turn, [i % 2 == 1 for i in range(200)], range(200))[1] == 0.001
    area, p = blinding.told(in_turn, synthetic, range(200))
    assert p > 0.001
    assert abs(area - 0.5) < 0.2


def test_orders_are_whole_own_and_repeat_as_many_of_each_kind() -> None:
    kinds = ["real", "synthetic"] * 20
    firsts = []
    for seed in range(60):
        order, second = design.order_for(kinds, 8, np.random.default_rng(seed))
        assert len(order) == 48
        shown = Counter(order)
        assert set(shown) == set(range(40))
        assert Counter(kinds[i] for i, n in shown.items() if n == 2) == {"real": 4, "synthetic": 4}
        assert sorted(order[place] for place in second) == sorted(
            i for i, n in shown.items() if n == 2
        )
        for place in second:
            assert order.index(order[place]) < place - 4
        firsts.append(kinds[order[0]])
    assert 15 < firsts.count("real") < 45
    assert design.order_for(kinds, 0, np.random.default_rng(1))[1] == []


def test_a_patient_has_a_second_image_only_when_all_have_one() -> None:
    random = np.random.default_rng(0)
    groups = [1, 1, 1, 1, 2, 2, 3]
    for count in range(1, 8):
        rows = design.drawn_images(groups, count, random)
        assert rows is not None
        assert len(set(rows)) == count
        assert len({groups[row] for row in rows}) == min(count, 3)
    assert design.drawn_images(groups, 8, random) is None
    # Patients 1 and 3 have an image in another class.
    assert groups[design.drawn_images(groups, 1, random, [1, 3])[0]] == 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"per_label": 101}, "per_label"),
        ({"per_label": 1}, "per_label"),
        ({"labels": ["A", "C"]}, "labels"),
        ({"labels": ["A", "A"]}, "labels"),
        ({"repeats": 3}, "repeats"),
        ({"per_label": 2, "repeats": 6}, "repeats"),
        ({"margin": 0.5}, "margin"),
    ],
)
def test_what_a_design_refuses(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        design.resolve(given, ["A", "B"])
    assert refused.value.field == field
    assert refused.value.remedy


def test_a_link_opens_its_reader_and_no_other(tmp_path: Path) -> None:
    study = made(tmp_path)
    one, token = study.invite("one")
    _, other = study.invite("two")
    found = by_token(tmp_path, token)
    assert found is not None
    assert found[1] == one
    assert (study.path / "key.json").stat().st_mode & 0o777 == 0o600
    assert token.rpartition(".")[2] not in "".join(
        path.read_text() for path in (study.path / "readers").iterdir()
    )
    mixed = token.rpartition(".")[0] + "." + other.rpartition(".")[2]
    for wrong in ("", "x", token[:-1], token + "0", mixed, f"{study.id}.rd-00000000.{'0' * 64}"):
        assert by_token(tmp_path, wrong) is None
    folder.remove(tmp_path, study.id)
    assert by_token(tmp_path, token) is None
    with pytest.raises(NotFound):
        folder.find(tmp_path, study.id)


def test_answers_come_in_order_once_and_the_last_can_be_taken_back(tmp_path: Path) -> None:
    study = made(tmp_path)
    reader, _ = study.invite("one")
    log = study.log(reader)
    with pytest.raises(Conflict, match="consented"):
        log.answer(0, RIGHT)
    log.consent("R", "0")
    assert log.consent("somebody else", "1").consent == log.read().consent
    log.answer(0, RIGHT)
    log.answer(0, RIGHT)  # sent again
    assert len(log.read().answers) == 1
    for place, said in ((0, {**RIGHT, "answer": "synthetic"}), (2, RIGHT)):
        with pytest.raises(Conflict):
            log.answer(place, said)
    log.answer(1, RIGHT)
    with pytest.raises(Conflict):
        log.undo(0)
    log.undo(1)
    log.undo(1)  # sent again
    log.answer(1, {**RIGHT, "answer": "synthetic"})
    assert [each["answer"] for each in log.read().answers] == ["real", "synthetic"]
    with pytest.raises(Conflict, match="2 of 24"):
        log.finish()
    for place in range(2, reader.total):
        log.answer(place, RIGHT)
    ended = log.finish().finished_at
    assert log.finish().finished_at == ended
    with pytest.raises(Conflict):
        log.undo(reader.total - 1)


def test_a_line_that_was_half_written_is_no_answer_and_swallows_none(tmp_path: Path) -> None:
    path = tmp_path / "rd-1.jsonl"
    log = Log(path, 10)
    log.consent("R", "0")
    log.answer(0, RIGHT)
    with open(path, "ab") as file:
        file.write(b'{"event": "answer", "pla')
    assert len(log.read().answers) == 1
    log.answer(1, RIGHT)
    assert len(log.read().answers) == 2


PROGRAM = """
import sys
from pathlib import Path
from library.reader_studies.answers import Log
log = Log(Path(sys.argv[1]), 100_000)
log.consent("R", "0")
place = len(log.read().answers)
while True:
    log.answer(place, {"answer": "real", "confidence": None, "milliseconds": place})
    print(place, flush=True)
    place += 1
"""


def test_no_acknowledged_answer_is_lost_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "rd-1.jsonl"
    acknowledged = -1
    for kill in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for _ in range(5 + 7 * kill):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        found = [each["milliseconds"] for each in Log(path, 100_000).read().answers]
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged + 1


def test_results_are_of_those_who_are_through_and_the_verdict_waits(tmp_path: Path) -> None:
    study = made(tmp_path, per_label=10, repeats=4)
    for number in range(4):
        reader, _ = study.invite(f"reader {number}")
        read_all(study, reader, 1.0, number)
    late, _ = study.invite("late")
    study.log(late).consent("L", "0")
    with pytest.raises(Conflict):
        of_reader(study, late)
    found = json.loads(json.dumps(results(study)))
    assert (found["readers_invited"], found["readers_counted"]) == (5, 4)
    assert found["verdict"] is None
    for accuracy in (0.0, 1.0):  # nothing of an open study tells the one from the other
        for number, reader in enumerate(study.readers()[:4]):
            read_all(study, reader, accuracy, number)
        assert json.loads(json.dumps(results(study))) == found
    assert [each["items"] for each in found["labels"]] == [20, 20]
    mine = of_reader(study, study.readers()[0])
    assert (mine["accuracy"]["value"], mine["right"]) == (1, 40)
    lines = as_csv(study).splitlines()
    assert len(lines) == 1 + 4 * 44
    assert {(line.split(",")[6], line.split(",")[8]) for line in lines[1:]} == {("", "")}
    assert "reader 0" not in as_csv(study)
    assert "R. Reader" not in as_csv(study) + json.dumps(found)
    study.close()
    found = json.loads(json.dumps(results(study)))
    assert found["verdict"]["verdict"] == "told_apart"
    assert found["accuracy"]["value"] == 1
    assert found["agreement"]["fleiss_kappa"] == {"value": 1, "interval": None}
    assert found["readers"][0] == mine
    assert mine["repeats"]["same"] == 4
    low, high = mine["area"]["interval"]
    assert (mine["area"]["value"], high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 20), abs=1e-6)
    assert [each["label"] for each in found["labels"]] == ["A", "B"]
    told = {tuple(line.split(",")[6:9:2]) for line in as_csv(study).splitlines()[1:]}
    assert told == {("real", "1"), ("synthetic", "1")}
    with pytest.raises(Conflict):
        study.invite("too late")
    final = results(study)
    study.log(late).answer(0, RIGHT)  # in the instant of the closing: it changes nothing
    assert results(study) == final


def test_a_reader_who_is_removed_counts_no_more_and_is_told_of(tmp_path: Path) -> None:
    study = made(tmp_path)
    kept, tried, leaked = (study.invite(name) for name in ("kept", "tried", "leaked"))
    read_all(study, kept[0], 1.0)
    read_all(study, leaked[0], 0.0)
    assert results(study)["readers_removed"] == 0
    alone = as_csv(study).count(kept[0].id)
    for reader, token in (tried, leaked):
        remove_reader(study, reader.id)
        assert by_token(tmp_path, token) is None
        with pytest.raises(NotFound):
            remove_reader(study, reader.id)
    assert by_token(tmp_path, kept[1]) is not None
    for accuracy in (None, 1):
        found = results(study)
        numbers = [found[f"readers_{name}"] for name in ("invited", "counted", "removed")]
        assert numbers == [1, 1, 2]
        assert found["accuracy"]["value"] == accuracy
        assert "2 readers were removed, 1 after they had judged every image." in found["limits"]
        assert as_csv(study).count(kept[0].id) == alone == len(as_csv(study).splitlines()) - 1
        study.close()  # and afterwards
    with pytest.raises(Conflict, match="closed"):
        remove_reader(study, kept[0].id)
    assert [reader.id for reader in study.readers()] == [kept[0].id]


def test_without_readers_there_are_results_that_say_so(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.close()
    found = json.loads(json.dumps(results(study)))
    assert (found["readers_counted"], found["verdict"]) == (0, None)
    assert found["accuracy"] == {"value": None, "interval": None}
    assert len(as_csv(study).splitlines()) == 1


def test_guessing_readers_are_found_indistinguishable_within_the_margin(tmp_path: Path) -> None:
    study = made(tmp_path, per_label=100, margin=0.15)
    for number in range(5):
        reader, _ = study.invite(str(number))
        read_all(study, reader, 0.5, number)
    study.close()
    found = results(study)
    assert found["verdict"]["verdict"] == "indistinguishable"
    assert abs(found["agreement"]["fleiss_kappa"]["value"]) < 0.1


def test_a_withdrawn_patient_is_shown_no_more(tmp_path: Path) -> None:
    study = made(tmp_path)
    reader, _ = study.invite("one")
    read_all(study, reader, 1.0)
    gone = frozenset({"A0", "B3", "of another dataset"})
    assert holding(tmp_path, gone) == [study]
    shown = [i for i, item in enumerate(study.key) if item.get("file_sha256") in gone]
    before = [study.item(i) for i in range(24)]
    for _ in range(2):
        forget(tmp_path, gone)
    again = folder.find(tmp_path, study.id)
    assert again.withdrawn == shown
    for i in range(24):
        with Image.open(io.BytesIO(again.item(i))) as image:
            assert (np.asarray(image).max() == 0) == (i in shown)
        assert (again.item(i) == before[i]) == (i not in shown)
    assert again.closed_at is not None
    assert not holding(tmp_path, gone)
    assert (study.path / "key.json").stat().st_mode & 0o777 == 0o600
    assert results(again)["items"] == 22


KILLED_IN_THE_MAKING = """
import os, signal, sys
from pathlib import Path
from library.reader_studies import folder
from tests.test_reader_studies import made

folder.claim = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
made(Path(sys.argv[1]))
"""


def killed_in_the_making(data_dir: Path) -> Path:
    """What is left of a study whose maker was killed; images and key are in it."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", KILLED_IN_THE_MAKING, str(data_dir)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = folder.root(data_dir).glob(".*.tmp")
    assert (left / "items.bin").stat().st_size
    return left


def test_what_a_maker_who_was_killed_has_left_is_swept(tmp_path: Path) -> None:
    left = killed_in_the_making(tmp_path)
    folder.remove_left(tmp_path)
    assert not left.exists()
    left = killed_in_the_making(tmp_path)
    study = made(tmp_path)
    assert not left.exists()
    half = study.path.with_name(".deleted-rs-0123456789abcdef")
    half.mkdir()
    folder.remove_left(tmp_path)
    assert [path.name for path in study.path.parent.glob("[!.]*")] == [study.id]
    assert not half.exists()


def test_a_study_that_is_being_made_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.remove_left(tmp_path)
    assert not folder.root(tmp_path).exists()

    def claim(temporary: Path, final: Path) -> bool:
        folder.remove_left(tmp_path)  # whatever sweeps meanwhile
        return atomic.claim(temporary, final)

    monkeypatch.setattr(folder, "claim", claim)
    study = made(tmp_path)
    assert study.item(0)
    assert folder.studies(tmp_path) == [study]


@pytest.mark.parametrize("how", ["made", "deleted"])
def test_a_withdrawn_patient_is_not_left_in_a_half_of_a_study(tmp_path: Path, how: str) -> None:
    if how == "made":
        left = killed_in_the_making(tmp_path)
    else:
        study = made(tmp_path)
        left = study.path.rename(study.path.with_name(f".deleted-{study.id}"))
    forget(tmp_path, frozenset({"A0"}))
    assert not left.exists()


def test_an_error_more_makes_no_interval_of_few_errors_shorter() -> None:
    right, alike = np.ones((5, 50), np.bool_), np.zeros(50, np.int64)
    never = statistics.mean_share(right, alike)
    for reader, image in ((0, 0), (1, 1), (2, 0)):
        right[reader, image] = False
        found = statistics.mean_share(right, alike)
        assert found.low < never.low
        assert found.high > found.value


def test_an_area_near_one_keeps_room_on_both_sides() -> None:
    synthetic = np.repeat([False, True], 25)
    ratings = np.where(synthetic, 5.0, -5.0)
    ratings[0] = 5.0  # one real image is surely synthetic
    found = statistics.area(ratings, synthetic)
    assert found.value == pytest.approx(0.98)
    assert 0.8 < found.low < 0.95 < 0.98 < found.high < 1
    alike = statistics.area(np.full(50, 5.0), synthetic)
    assert alike.as_dict() == {"value": 0.5, "interval": None}
    turned = statistics.area(-ratings, synthetic)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))
    never = statistics.area(np.where(synthetic, 5.0, -5.0), synthetic)
    assert (never.low, never.high) == pytest.approx((0.025 ** (1 / 25), 1.0))


def test_intervals_and_agreement_are_those_of_the_books() -> None:
    # Wilson: Newcombe (1998), table I.  Kappa: worked by hand from the definitions.
    for right, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                    (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip
        found = statistics.wilson(right, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    # Student's t, from any table.
    for freedom, value in ((1, 12.706), (2, 4.303), (5, 2.571), (30, 2.042), (1e9, 1.960)):
        assert statistics.t_quantile(0.975, freedom) == pytest.approx(value, abs=6e-4)
    one = np.array([1] * 20 + [1] * 5 + [0] * 10 + [0] * 15, np.bool_)
    other = np.array([1] * 20 + [0] * 5 + [1] * 10 + [0] * 15, np.bool_)
    assert statistics.cohen(one, other) == pytest.approx(0.4)
    said = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 1]], np.bool_)
    share = 7 / 12
    chance = share**2 + (1 - share) ** 2
    assert statistics.kappa(said) == pytest.approx((4 / 6 - chance) / (1 - chance))
    assert np.isnan(statistics.kappa(np.ones((2, 5), np.bool_)))
    assert statistics.area(np.array([1.0, 2, 3]), np.array([False, False, True])).value == 1
    assert statistics.area(np.ones(4), np.array([False, False, True, True])).value == 0.5


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """500 studies of 4 readers x 60 images, readers and images drawn anew: within three standard
    errors of 95%, or above; an interval that takes answers for independent is far below."""
    random = np.random.default_rng(0)
    strata = np.repeat([0, 1], 30)
    truth, held, naive = 0.6, 0, 0
    for _ in range(500):
        readers = np.clip(random.normal(0, 0.08, (4, 1)), -0.2, 0.2)
        images = random.choice([-0.2, 0.2], (1, 60))
        right = random.random((4, 60)) < truth + readers + images
        found = statistics.mean_share(right, strata)
        held += found.low <= truth <= found.high
        alone = statistics.wilson(int(right.sum()), right.size)
        naive += alone.low <= truth <= alone.high
    assert held >= 500 * (0.95 - 3 * 0.0098)
    assert naive < 500 * 0.90


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_readers_who_all_say_the_same_make_no_interval_of_no_width(share: float) -> None:
    strata = np.repeat([0, 1], 10)
    right = np.tile(strata < 1 if share == 0.5 else np.full(20, share == 1.0), (3, 1))
    found = statistics.mean_share(right, strata)
    assert found == statistics.wilson(round(20 * share), 20)
    assert found.high - found.low > 0.15


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.5, 0.41, 0.59, "indistinguishable"),
        (0.56, 0.52, 0.595, "indistinguishable"),
        (0.5, 0.38, 0.62, "inconclusive"),
        (0.7, 0.61, 0.79, "told_apart"),
        (0.56, 0.51, 0.61, "told_apart"),
        (0.3, 0.2, 0.4, "reversed"),
    ],
)
def test_verdicts(value: float, low: float, high: float, verdict: str) -> None:
    assert statistics.verdict(statistics.Estimate(value, low, high), 0.1) == verdict
