"""What README and the documentation tell a shell to do is done, in the order in which it is read.

Their Python: test_snippets.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluation.pictures import FEW, split_folders
from tests.service.conftest import ROOT, TINY, Service, wait_until
from tests.sets import held_out, packed

BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = ("synthorax", "curl")
# First words that are not for a test beside a running service, and where they are run.
ELSEWHERE = {
    "git": "on a fresh clone, by hand",
    "make": "CI itself, on a fresh clone",
    "docker": "needs an engine; make check reads its files",
    "pip": "tests/service/test_wheel.py",
    "python": "a benchmark; its table is in the same document",
}
PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
FAST = ("--epochs", "1", "--batch-size", "8", "--no-estimate")


def lines_of(text: str) -> list[list[str]]:
    """The commands of a document's shell blocks, as words, without NAME=value before them."""
    found = []
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                found.append([words[0].removeprefix(".venv/bin/"), *words[1:]])
    return found


@pytest.mark.parametrize("page", [Path("README.md"), Path("CONTRIBUTING.md"), *PAGES], ids=str)
def test_every_command_is_run_somewhere(page: Path) -> None:
    firsts = {words[0] for words in lines_of((ROOT / page).read_text())}
    assert firsts <= {*RUN, *ELSEWHERE}


@pytest.fixture(scope="module")
def meant(
    service: Service, roots: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What the documents' placeholders stand for here."""
    place = tmp_path_factory.mktemp("shell")
    folder = split_folders(roots / "shell", *FEW)
    archive = packed(folder, place / "export.zip")
    made = service.http.post("/datasets", content=archive.read_bytes(),
                             headers={"Content-Type": "application/zip"}).json()["id"]  # fmt: skip
    wait_until(lambda: service.http.get(f"/datasets/{made}").json()["status"] == "ready")
    fake = place / "fake"
    shutil.copytree(folder / "train", fake)
    return {
        "/path/to/images": str(folder),
        "/path/to/export.zip": str(archive),
        "EXPORT.zip": str(archive),
        "FOLDER_OR_ZIP": str(folder),
        "FOLDER": str(folder),
        "ds-0123456789ab": made,
        "REAL": str(folder / "train"),
        "FAKE": str(fake),
    }


@pytest.fixture
def own_jobs(service: Service) -> Iterator[None]:
    """Ends the jobs of a document after it: they would keep the next one's waiting."""
    yield
    end_jobs(service)


def end_jobs(service: Service) -> None:
    for job in service.http.get("/train-jobs").json()["data"]:
        if job["finished_at"] is None:
            service.http.post(f"/train-jobs/{job['id']}/cancel")


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.parametrize(
    "page", ["README.md", "docs/datasets.md", "docs/serving.md", "docs/how-to.md"]
)
def test_the_commands_do_what_is_written(
    service: Service, meant: dict[str, str], page: str, tmp_path: Path
) -> None:
    known = dict(meant)
    if page == "docs/serving.md":  # it verifies the README's picture
        sample = service.http.get("/models/chest-xray-turbo@2/samples/PNEUMONIA/42.png")
        assert sample.status_code == 200, sample.text
        (tmp_path / "pneumonia-42.png").write_bytes(sample.content)
    for words in lines_of((ROOT / page).read_text()):
        if words[0] in ELSEWHERE or words[1] == "study":  # hours: test_studies.py, with quick units
            continue
        if "JOB" in words and "JOB" not in known:
            known["JOB"] = running_job(service, known["ds-0123456789ab"])
        if words[1:2] == ["reader-study"] and "STUDY" not in known:
            known |= reader_study(service, tmp_path / "held-out")
        if words[1:3] == ["runs", "resume"]:  # a reader waits for the end that was asked for
            service.ended(known["JOB"])
        asked = [known.get(word, word) for word in words]
        if words[0] == "curl":
            ran = subprocess.run(
                ["curl", "--fail-with-body", *(here(word, service) for word in asked[1:])],
                cwd=tmp_path, capture_output=True, timeout=300, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, (words, ran.stdout[:2000])
            continue
        if asked[1] == "train":
            asked += FAST if "--fine-tune" in asked else (*FAST, "--preset", "quick")
            if "--publish-if-not-red" not in asked:
                asked += ("--no-report",)  # minutes; test_reports.py and `reports make` have it
        process = service.command(*asked[1:], folder=tmp_path)
        out, told = process.communicate(timeout=300)
        assert process.returncode == 0, (words, out, told)
        if words[1:3] == ["runs", "clone"]:  # endless, and nobody waits for it
            end_jobs(service)
    if page == "README.md":
        made = ("pneumonia-42.png", "generated/manifest.csv", "images.zip", "report.zip", "report")
        assert [name for name in made if not (tmp_path / name).exists()] == []


def running_job(service: Service, dataset: str) -> str:
    """A job that is slow enough to be still there for `runs finish`."""
    slow = {**TINY, "epochs": 10_000, "generator_width": 64, "discriminator_width": 64}
    body = {"dataset": dataset, "model": "slow", "preset": "quick", "config": slow, "report": False}
    answer = service.http.post("/train-jobs", json=body)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    wait_until(lambda: service.job(job)["status"] == "running")
    return job


def reader_study(service: Service, folder: Path) -> dict[str, str]:
    """A version and a dataset that fit, a study of them, and a reader of it."""
    dataset = held_out(folder, service.data_dir, 13)
    body = {"model": "tiny@2", "dataset": dataset, "per_label": 2, "real_images_may_be_shown": True}
    made = service.http.post("/reader-studies", json=body)
    assert made.status_code == 201, made.text
    study = made.json()["id"]
    invited = service.http.post(f"/reader-studies/{study}/readers", json={"name": "Reader 0"})
    reader = invited.json()["reader"]["id"]
    return {"MODEL": "tiny@2", "ID": dataset, "STUDY": study, "READER": reader}


def here(word: str, service: Service) -> str:
    """An address of the documents, on the service of the test."""
    return re.sub(r"^(http://127\.0\.0\.1|localhost):8000", service.url, word)
