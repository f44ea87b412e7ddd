"""The items of CLAIM 2024 in our own words, and what of them a report can fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evaluation.methods import unit

Content = Mapping[str, Any]
Fill = Callable[[Content], str | None] | None


def _data(content: Content) -> str:
    data = content["data"]
    parts = [f"{k}: {data[k]['images']} images" for k in ("train", "reference") if data[k]]
    return f"{data.get('name', '')} ({', '.join(parts)}), fingerprint {data.get('fingerprint')}"


def _partitions(content: Content) -> str:
    data = content["data"]
    both = data.get("patients_in_both")
    known = f"{both} patients in both" if data["patients_known"] else "patients not known"
    return f"Split: {data.get('split_by')}; {known}"


def _processing(content: Content) -> str:
    loader = content["protocol"].get("loader", {})
    return (
        f"{loader.get('resize')}, fit {loader.get('fit')}, {loader.get('levels')}, "
        f"{content['protocol']['native_resolution']} pixels"
    )


def _model(content: Content) -> str | None:
    model = content["model"]
    return None if not model else f"{model['family']}, digest {model['digest']}"


def _training(content: Content) -> str | None:
    model = content["model"]
    if not model:
        return None
    found = model["training"]
    return f"Preset {found['preset']}, {found['images']} images shown in {found['steps']} steps"


def _metrics(content: Content) -> str:
    return ", ".join(content["protocol"]["metrics"]) + ", precision, density, coverage, MS-SSIM"


def _uncertainty(content: Content) -> str:
    draws, drawn = content["protocol"]["settings"]["draws"], unit(content)
    tested = f"; bootstrap over {drawn}" if content["usefulness"]["probe"] else ""
    return f"Floors and deviations from {draws} draws of whole {drawn}{tested}"


def _performance(content: Content) -> str:
    return "; ".join(f"{k}: {v}" for k, v in content["lights"].items())


def _limits(content: Content) -> str:
    return " ".join(content["limits"][:3])


ITEMS: tuple[tuple[str, Fill], ...] = (
    ("Title or abstract says that it is artificial intelligence, and of which kind", None),
    ("Structured abstract", None),
    ("Background, and the clinical role that is meant", None),
    ("Aims and hypotheses", None),
    ("Prospective or retrospective", None),
    ("Goal of the study", None),
    ("Data sources", _data),
    ("Inclusion and exclusion", lambda c: f"{c['data'].get('duplicates_removed', 0)} duplicates "
     "left out"),
    ("Preprocessing", _processing),
    ("Selection of subsets", lambda c: f"Equal n a class: {c['protocol']['n']}"),
    ("De-identification", None),
    ("Missing data", None),
    ("Image acquisition", None),
    ("Reference standard: definition", None),
    ("Reference standard: why it was chosen", None),
    ("Source of the annotations", None),
    ("Annotation of the test set", None),
    ("Agreement of annotators", None),
    ("How data were assigned to partitions", _partitions),
    ("At which level partitions are disjoint",
     lambda c: "Patient" if c["data"]["patients_known"] else "Image: patients are not known"),
    ("Sample size", lambda c: str(c["protocol"]["n"])),
    ("Model: structure, inputs, outputs", _model),
    ("Software and packages",
     lambda c: ", ".join(f"{k} {v}" for k, v in c["protocol"]["packages"].items())),
    ("Initial parameters", _model),
    ("Training: augmentation, hyperparameters", _training),
    ("Choice of the final model", None),
    ("Ensembling", lambda _: "None"),
    ("Metrics of performance", _metrics),
    ("Significance and uncertainty", _uncertainty),
    ("Robustness or sensitivity", lambda c: "Damage ruler" if c["ruler"] else None),
    ("Explainability", None),
    ("Evaluation on internal data", _performance),
    ("Evaluation on external data", None),
    ("Registration of the study", None),
    ("Flow of participants or cases", None),
    ("Demographics and clinical characteristics by partition", None),
    ("Performance with benchmarks and uncertainty", _performance),
    ("Diagnostic accuracy with confidence intervals",
     lambda c: "Linear probe, see the usefulness table" if c["usefulness"]["probe"] else None),
    ("Failure analysis", None),
    ("Limitations", _limits),
    ("Implications for practice", None),
    ("Full protocol", lambda c: f"Protocol {c['protocol']['version']}, report {c['id']}"),
    ("Availability of software, model, data", _model),
    ("Funding", None),
)  # fmt: skip
