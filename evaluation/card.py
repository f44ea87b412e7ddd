"""A model card from a report: the usual headings, and the FDA scorecard's seven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.markup import number as _n
from evaluation.plots import metric

Content = Mapping[str, Any]


def card(content: Content) -> str:
    """CARD.md."""
    model, data, protocol = content["model"], content["data"], content["protocol"]
    name = model["reference"] if model else str(data.get("fakes") or "generated images")
    lights = "\n".join(f"| {light} | **{found}** |" for light, found in content["lights"].items())
    limits = "\n".join(f"- {text}" for text in content["limits"])
    return f"""# {name}: evaluation

Report `{content["id"]}` of {content["created_at"][:10]}. **Synthetic; not for diagnosis.**

| light | |
|---|---|
{lights}

There is no overall score. A green light says that no difference was detected at this n.

## Model details

{_model(content)}

## Intended use

Research and teaching: augmenting training images, testing software, demonstrating generators.

## Out-of-scope use

Diagnosis; evidence of what a disease looks like; release as if no patient could be told from it.

## Training data

{_set(content, "train")}
{_attribution(content)}

## Evaluation data

{_set(content, "reference")}
Reference: {", ".join(data.get("reference_splits") or []) or "as given"}. {_apart(content)}

## Metrics

Features of `{protocol["extractor"]}` at {protocol["native_resolution"]} pixels; each number beside
what {_others(content)} score at the same n.

{_results(content)}

## Privacy

{content["privacy"]["sentence"] or "Copies and membership were not looked for."}
Differential privacy: {content["privacy"]["differential_privacy"]}.

## Scorecard

Headings of Zamzmi et al., *Scorecard for synthetic medical data evaluation*, Commun Eng 4:130
(2025).

{_scorecard(content)}

## Limits

{limits}
"""


def _model(content: Content) -> str:
    model = content["model"]
    if not model:
        return "Not made here: the images were given as a folder."
    found = model["training"]
    return (
        f"{model['family'].upper()}, {model['resolution']}x{model['resolution']} pixels, labels: "
        f"{', '.join(model['labels']) or 'none'}; preset `{found['preset']}`, "
        f"{found['images']:,} images shown. Digest `{model['digest']}`."
    )


def _set(content: Content, name: str) -> str:
    found = content["data"][name]
    if not found:
        return "Not known."
    labels = ", ".join(f"{label} {n:,}" for label, n in found["labels"].items())
    patients = "not known" if found["patients"] is None else f"{found['patients']:,}"
    return f"{found['images']:,} images ({labels}), patients: {patients}."


def _attribution(content: Content) -> str:
    return str(content["data"].get("attribution") or "")


def _apart(content: Content) -> str:
    data = content["data"]
    if not data["patients_known"]:
        return "**Patients are not known: leakage cannot be excluded.**"
    both = data["patients_in_both"]
    return "No patient is in both sets." if both == 0 else f"**Patients in both sets: {both}.**"


def _others(content: Content) -> str:
    return f"real images{' of other patients' if content['data']['patients_known'] else ''}"


def _results(content: Content) -> str:
    kid, fd = metric(content, "kid"), metric(content, "fd")
    lines = ["| class | n | number | generated | floor | z |", "|---|---|---|---|---|---|"]
    for label, each in content["fidelity"].items():
        for name in (kid, fd, "precision", "density", "coverage"):
            lines.append(
                f"| {label} | {each['n']} | {name} | {_n(each[name])} | "
                f"{_n(each[f'{name}_floor'])} ± {_n(each[f'{name}_sd'])} | "
                f"{_n(each[f'{name}_z'])} |"
            )
        lines.append(
            f"| {label} | {each['n']} | MS-SSIM of pairs | {_n(each['msssim_fake'])} | "
            f"{_n(each['msssim_floor'])} ± {_n(each['msssim_sd'])} | {_n(each['msssim_z'])} |"
        )
    return "\n".join(lines)


def _scorecard(content: Content) -> str:
    lights, data, probe = content["lights"], content["data"], content["usefulness"]["probe"]
    labels = (content["conditioning"] or {}).get("labels")
    sides = "; ".join(
        f"{label} laterality {_n(each['laterality'])} (floor {_n(each['laterality_floor'])})"
        for label, each in content["fidelity"].items()
        if each.get("laterality") is not None
    )
    items = {
        "Congruence": f"fidelity light {lights['fidelity']}: KID and FD with floors, above",
        "Coverage": "; ".join(
            f"{label} {_n(each['coverage'])} (floor {_n(each['coverage_floor'])})"
            for label, each in content["fidelity"].items()
        ),
        "Constraint": sides or "not assessed",
        "Completeness": f"{data['generated']:,} images of {', '.join(data['labels'])}; "
        "sub-groups (age, sex, device) not assessed",
        "Compliance": f"privacy light {lights['privacy']}; marked as synthetic",
        "Comprehension": "damage ruler and uncurated images in report.html",
        "Consistency": "; ".join(
            f"{label} agreement {_n(each['agreement'])} (floor {_n(each['agreement_floor'])})"
            for label, each in labels.items()
        )
        if labels
        else "not assessed",
    }
    if probe:
        items["Congruence"] += (
            f"; synthetic to real AUROC gap {probe['gap_synthetic_to_real']:+z.3f}"
        )
    return "\n".join(f"- **{name}**: {text}." for name, text in items.items())
