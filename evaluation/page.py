"""The report as one HTML page that stands alone: lights, sentences, numbers with their floors."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.markup import details, fact_table, figure, section, table
from evaluation.markup import number as _n
from evaluation.plots import metric
from evaluation.style import STYLE

Content = Mapping[str, Any]
_ORDER = {"red": 0, "amber": 1, "not estimable": 2, "green": 3}
_SHAPES = {"red": "■", "amber": "▲", "not estimable": "○", "green": "●"}
_WORDS = {
    "red": "large, or evidence was found",
    "amber": "a difference or a sign was found",
    "not estimable": "too few images, or a part is not known",
    "green": "nothing was found at this n",
}
_OF_USEFULNESS = {
    "red": "the probe got worse",
    "amber": "no benefit was shown, or leakage cannot be excluded",
    "green": "the probe gained",
}
_MEANING = {
    "fidelity": "Do the images look like the real ones, in all their variety and class?",
    "usefulness": "Does a simple classifier gain from them? A look, not a verdict.",
    "privacy": "Do they copy training images, and can members be told?",
}


def html(content: Content, figures: Mapping[str, bytes], grids: Mapping[str, bytes]) -> str:
    """The page; figures are SVGs by name, grids PNGs by label."""
    title = f"Evaluation of {_subject(content)}"
    parts = [
        "<!doctype html>",
        f"<html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{STYLE}</style></head><body><main>",
        f"<header><h1>{escape(title)}</h1>",
        f"<p class=quiet>Report {escape(content['id'])}, {escape(content['created_at'][:10])}. "
        "Synthetic images; not for diagnosis.</p></header>",
        _warnings(content),
        _lights(content),
        section("Fidelity and diversity", _fidelity(content, content["fidelity"])),
        figure(figures, "coverage.svg", "Numbers of each class beside their floors"),
        _delivery(content),
        _ruler(content, figures),
        _conditioning(content, figures),
        _usefulness(content, figures),
        _privacy(content, figures),
        _grids(content, grids),
        figure(figures, "scatter.svg", "Real and generated images by two components"),
        section("Data", _data(content)),
        section("Protocol", _protocol(content)),
        section("Limits", "<ul>" + "".join(f"<li>{escape(t)}</li>" for t in content["limits"])
                 + "</ul>"),
        "</main></body></html>\n",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _subject(content: Content) -> str:
    model = content["model"]
    if model:
        return str(model["reference"])
    return str(content["data"].get("fakes") or "images")


def _warnings(content: Content) -> str:
    data, found = content["data"], []
    if data.get("patients_in_both"):
        found.append(f"{data['patients_in_both']} patients are in training and in the reference.")
    if not data["patients_known"]:
        found.append("Patients are not known: leakage between training and reference cannot be "
                     "excluded.")  # fmt: skip
    if data.get("training_known") is False:
        found.append("The training images are not known: that the generated ones are compared with "
                     "what they were made from cannot be excluded.")  # fmt: skip
    elif data["train"] is None:
        found.append("It was trained on other images than this dataset's: copies of them were not "
                     "looked for.")  # fmt: skip
    elif data.get("training_verified") is False:
        found.append("That these are the images it was trained on is said by the operator, and was "
                     "not verified.")  # fmt: skip
    return "".join(f"<p class=danger>{escape(text)}</p>" for text in found)


def _lights(content: Content) -> str:
    cards = []
    lights = sorted(content["lights"].items(), key=lambda item: _ORDER[item[1]])
    for light, verdict in lights:
        checks = [c for c in content["checks"] if c["light"] == light]
        checks.sort(key=lambda c: _ORDER[c["verdict"]])
        items = "".join(
            f"<li class={_class(c['verdict'])}><span class=mark aria-hidden=true>"
            f"{_SHAPES[c['verdict']]}</span> <span><b>{escape(c['verdict'])}</b> "
            f"{escape(c['text'])}</span></li>"
            for c in checks
        )
        cards.append(
            f"<article class='light {_class(verdict)}'><h2><span class=mark aria-hidden=true>"
            f"{_SHAPES[verdict]}</span> {light.capitalize()}: {escape(verdict)}</h2>"
            f"<p class=quiet>{_MEANING[light]} {verdict.capitalize()}: "
            f"{_words(light, verdict)}.</p>"
            f"<details open><summary>{len(checks)} checks, the worst first</summary>"
            f"<ul class=checks>{items}</ul></details></article>"
        )
    return "<div class=lights>" + "".join(cards) + "</div>"


def _words(light: str, verdict: str) -> str:
    own = _OF_USEFULNESS if light == "usefulness" else {}
    return own.get(verdict, _WORDS[verdict])


def _class(verdict: str) -> str:
    return "grey" if verdict == "not estimable" else verdict


def _fidelity(content: Content, found: Mapping[str, Any]) -> str:
    """One table a class, a row a number, the floor beside it."""
    kid, fd = metric(content, "kid"), metric(content, "fd")
    names = (kid, fd, "precision", "density", "coverage", "duplicates", "laterality")
    tables = []
    for label, each in found.items():
        rows: list[Sequence[Any]] = []
        for name in names:
            if each.get(name) is None:
                continue
            low, high = each[f"{name}_interval"]
            rows.append(
                (name, _n(each[name]), f"{_n(low)} to {_n(high)}", _n(each[f"{name}_floor"]),
                 _n(each[f"{name}_sd"]), _n(each.get(f"{name}_ratio")), _n(each[f"{name}_z"]))
            )  # fmt: skip
        rows.append(
            ("MS-SSIM of pairs", _n(each["msssim_fake"]),
             " to ".join(_n(x) for x in each["msssim_interval"]), _n(each["msssim_floor"]),
             _n(each["msssim_sd"]), "–", _n(each["msssim_z"]))
        )  # fmt: skip
        caption = (
            f"{label}: {each['n_real']:,} unseen real and {each['n_fake']:,} generated images, "
            f"compared at n = {each['n']:,}"
        )
        header = ("number", "generated", "95% interval", "floor", "floor sd", "ratio", "z")
        tables.append(table(caption, header, rows))
        if each.get("warning"):
            tables.append(f"<p class=warn>{escape(each['warning'])}</p>")
    note = (
        "<p class=quiet>The interval is of other seeds, against the same real images. The floor is "
        "what real images of other patients score, at the same n; floor sd is its deviation, z "
        "counts deviations towards worse.</p>"
    )
    return "".join(tables) + note


def _delivery(content: Content) -> str:
    found = content["fidelity_delivery"]
    if not found:
        return ""
    side = content["protocol"]["delivery_resolution"]
    return section(
        f"At {side} pixels",
        "<p>The same against real images at the size at which classifiers take them: what the "
        f"generator's {content['protocol']['native_resolution']} pixels lack is seen here.</p>"
        + _fidelity(content, found),
    )


def _ruler(content: Content, figures: Mapping[str, bytes]) -> str:
    if not content["ruler"]:
        return ""
    kid, fd = metric(content, "kid"), metric(content, "fd")
    tables = [
        table(
            f"{label}: real images, damaged",
            ("damage", kid, fd, "precision", "coverage"),
            [(_damage(r), _n(r[kid]), _n(r[fd]), _n(r["precision"]), _n(r["coverage"]))
             for r in rows],
        )
        for label, rows in content["ruler"].items()
    ]  # fmt: skip
    words = (
        "<p>Real images of training patients, damaged in known ways and measured by the same code. "
        "Fidelity cannot tell “copies of training” from clean images: privacy must.</p>"
    )
    picture = figure(figures, "ruler.svg", "The generated images on the ruler")
    return section("What these numbers mean", words + picture + details("The table", tables))


def _damage(row: Mapping[str, Any]) -> str:
    return f"{row['damage']}, {row['class']}" if "class" in row else str(row["damage"])


def _conditioning(content: Content, figures: Mapping[str, bytes]) -> str:
    found = content["conditioning"]
    if not found:
        return ""
    body = figure(figures, "confusion.svg", "KID of each class's images to each real class")
    if found["labels"]:
        labels = content["data"]["labels"]
        rows = [
            (label, _n(f["agreement"]), _n(f["agreement_floor"]), _n(f["agreement_sd"]),
             *(f"{f['predicted'][other]:.1%}" for other in labels))
            for label, f in found["labels"].items()
        ]  # fmt: skip
        header = ("asked for", "agreement", "floor", "sd", *(f"seen as {n}" for n in labels))
        body += table("What a judge, trained on real images, sees", header, rows)
        body += (
            "<p class=quiet>A judge puts images that are like no class into one of them: read the "
            "agreement with the shares beside it.</p>"
        )
    return section("Classes", body)


def _usefulness(content: Content, figures: Mapping[str, bytes]) -> str:
    probe = content["usefulness"]["probe"]
    if not probe:
        return section(
            "Usefulness: a look", f"<p>{escape(content['usefulness']['why_not'] or '')}</p>"
        )
    rows = [
        (name.replace("_", " "), _n(arm["auroc"]), " to ".join(map(_n, arm["auroc_interval"])),
         _n(arm["balanced_accuracy"]))
        for name, arm in probe["arms"].items()
    ]  # fmt: skip
    low, high = probe["gain_interval"]
    added = ", ".join(f"{n:,} {label}" for label, n in probe["added"].items())
    words = (
        f"<p>A linear probe, tested on {probe['n_test']:,} images of patients that it has not "
        f"seen. Added images: {escape(added)}. "
        f"Real and synthetic against real and as many duplicates: AUROC "
        f"<b>{probe['gain_over_duplicates']:+z.4f}</b> ({low:+z.4f} to {high:+z.4f}). "
        "This is a look, not a verdict: the classifier that will be used may differ.</p>"
    )
    header = ("trained on", "AUROC", "95% interval, by patients", "balanced accuracy")
    return section(
        "Usefulness: a look",
        words + figure(figures, "usefulness.svg", "AUROC of each arm")
        + table("Arms", header, rows),
    )  # fmt: skip


def _privacy(content: Content, figures: Mapping[str, bytes]) -> str:
    found, parts = content["privacy"], []
    if not found["near_copies"]:
        return section(
            "Copies and membership",
            "<p>The training images were not given: copies and membership were not looked for.</p>",
        )
    parts.append(f"<p><strong>{escape(found['sentence'])}</strong></p>")
    rows = []
    for label, each in found["near_copies"].items():
        low, high = each["flagged_interval"]
        tests = each["nearest_is_train"]
        rows.append(
            (label, f"{each['flagged']:,} of {each['n_fake']:,}", f"{each['flagged_share']:.1%}",
             f"{low:.1%} to {high:.1%}", f"{each['flagged_expected']:.1%}", f"{each['copies']:,}",
             _n(each["correlation"]["p"]), _n(each["distance"]["p"]),
             _n(min(t["p"] for t in tests.values())))
        )  # fmt: skip
    header = (
        "class", "flagged", "share", "95% interval", "expected", "copies", "p, correlation",
        "p, distance", "p, nearest is train",
    )  # fmt: skip
    parts.append(table("Images nearer to a training image than unseen real ones are", header, rows))
    attacks = [
        (name, _n(a["auc"]), _n(a["p"]), f"{a['tpr_at_1_percent_fpr']:.2%}",
         " to ".join(f"{x:.2%}" for x in a["tpr_interval"]), f"{a['members']:,}")
        for name, a in found["membership"].items() if a
    ]  # fmt: skip
    columns = ("attack", "AUC", "p", "TPR at 1% FPR", "95% interval", "members")
    parts.append(table("Membership inference", columns, attacks))
    patients = found["patients"]
    parts.append(
        f"<p>Patients in training: {'not known' if patients is None else f'{patients:,}'}. "
        f"Differential privacy: {escape(str(found['differential_privacy']))}.</p>"
    )
    picture = figure(figures, "nearest.svg", "How near the nearest training image lies")
    return section("Copies and membership", "".join(parts) + picture)


def _grids(content: Content, grids: Mapping[str, bytes]) -> str:
    seeds = content["protocol"].get("seeds")
    parts = []
    for label, png in grids.items():
        shown = f", seeds from {seeds[0]} on" if seeds else ""
        caption = f"{escape(label)}: the first images{shown}, none picked"
        parts.append(
            f"<figure><img class=grid alt='{caption}' src='data:image/png;base64,"
            f"{base64.b64encode(png).decode()}'><figcaption>{caption}</figcaption></figure>"
        )
    return section("Uncurated images", "".join(parts))


def _data(content: Content) -> str:
    data = content["data"]
    rows = []
    for name in ("train", "reference"):
        found = data[name]
        if found:
            labels = ", ".join(f"{label} {n:,}" for label, n in found["labels"].items())
            patients = "not known" if found["patients"] is None else f"{found['patients']:,}"
            rows.append((name, f"{found['images']:,}", patients, labels))
    rows.append(("generated", f"{data['generated']:,}", "–", ", ".join(data["labels"])))
    facts = {
        key: data[key]
        for key in ("name", "fingerprint", "split_by", "patients_by", "reference_splits",
                    "duplicates_removed", "patients_in_both", "reference_sha256", "attribution")
        if data.get(key) is not None
    }  # fmt: skip
    return table("Images", ("set", "images", "patients", "by class"), rows) + fact_table(facts)


def _protocol(content: Content) -> str:
    protocol = content["protocol"]
    facts = {k: v for k, v in protocol.items() if k not in ("settings", "packages")}
    more = {**protocol["settings"], **protocol["packages"]}
    return fact_table(facts) + details("Settings and packages", [fact_table(more)])
