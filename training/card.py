"""The card of a version: what it is, what made it, and what it must not be used for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from library.atomic import write_bytes


def write_card(path: Path, name: str, card: dict[str, Any]) -> None:
    """Write CARD.md from model.json's content."""
    write_bytes(path, card_text(name, card).encode())


def card_text(name: str, card: dict[str, Any]) -> str:
    training, dataset, config = card["training"], card["dataset"], card["training"]["config"]
    environment, last = training["environment"], training["last_epoch"] or {}
    labels = ", ".join(card["labels"]) or "none (one distribution over all images)"
    counts = ", ".join(f"{label} {count}" for label, count in dataset["labels"].items())
    images = f"{training['images']:,}"
    minutes = training["seconds"] / 60
    numbers = "\n".join(
        f"| {title} | {last.get(key, float('nan')):.4f} |"
        for key, title in (
            ("loss_d", "Loss_D"),
            ("loss_g", "Loss_G"),
            ("d_x", "D(x)"),
            ("d_g_z1", "D(G(z)) before the discriminator's update"),
            ("d_g_z2", "D(G(z)) after it, at the generator's step"),
        )
        if key in last or not last
    )
    request = {
        "dataset": {"path": "DATASET"},
        "model": name,
        "preset": training["preset"],
        "config": config,
    }
    done, planned = last.get("epoch", 0), config["epochs"]
    stopped = f" It was stopped after epoch {done} of {planned}." if done < planned else ""
    attribution = card["attribution"] or "Not stated by the operator."
    privacy = (
        "Trained on private data: keep the files on this server."
        if card["private"]
        else "Trained on public data."
    )
    return f"""# {name}

Synthetic chest X-rays of {card["resolution"]}x{card["resolution"]} pixels from a generator of the
family `{card["architecture"]["family"]}`. **Synthetic; not for diagnosis.**

![Samples of seeds 0 to 63](samples.png)

## Intended use

Research and teaching: augmenting or replacing training images, testing software, demonstrating
generators. Not for diagnosis, and not evidence of what a disease looks like.

## Labels

{labels}

## Training data

{dataset["images"]} images ({counts}); fingerprint `{dataset["fingerprint"]}`.
{_split_text(dataset)}
{attribution}
{privacy}

## Training

Preset `{training["preset"]}`: {images} images shown in {training["steps"]:,} steps,
{minutes:.1f} minutes on {environment["device"]} ({environment["device_name"]},
{environment["threads"]} thread(s)), precision **{environment["precision"]}**
({"channels_last" if environment["channels_last"] else "contiguous"} layout), torch
{environment["torch"]}.{stopped} {_chosen_text(training, config)}
{_ancestry_text(card["ancestry"])}
Weights are stored rounded to float16; batch norm statistics were
estimated on the rounded weights. ONNX Runtime and torch differ by at most
{card["onnx_check"]["max_difference"]:.1e} of a range of 2 on 64 seeds.

![Losses over training](loss.png)

| last epoch | |
|---|---|
{numbers}

The exact command, with DATASET the folder of the training data:
`python -m training run config.json`, where config.json is

```json
{json.dumps(request, indent=2)}
```

Digest `{card["digest"]}`, made {card["created"]} by Synthorax {card["code_version"]}.
{_privacy_text(card.get("privacy"))}
## Limits

- Fidelity, usefulness and privacy are judged in the version's reports, not here; without one a
  version has not been shown to be any of the three.
- Images can repeat features of training images; its reports say how far that was tested.
- What the training images lack (ages, devices, diseases, views), the samples lack too.
"""


def _privacy_text(privacy: dict[str, Any] | None) -> str:
    """What differential privacy there is, what it means, and what it does not cover."""
    if privacy is None:
        return ""
    of_patient = privacy["patient"]
    epsilon = of_patient["epsilon"] if of_patient else privacy["epsilon"]
    who = "a patient" if of_patient else "an image"
    patient = (
        f"per patient **{epsilon:.2f}** at delta {of_patient['delta']:.2g} (at most "
        f"{of_patient['images_at_most']} image(s) of each take part)"
        if of_patient
        else "per patient **none: patients are not known**, and one with several images has "
        "correspondingly less"
    )
    uncovered = "\n".join(f"- {each}" for each in privacy["not_covered"])
    return f"""
## Differential privacy

| | |
|---|---|
| epsilon | per image **{privacy["epsilon"]:.2f}** at delta {privacy["delta"]:.2g}; {patient} |
| mechanism | DP-SGD on the discriminator, {privacy["steps"]:,} steps: Poisson sampling at a rate \
of {privacy["sampling_rate"]:.4g}, gradients clipped to {privacy["clip_norm"]:g}, noise multiplier \
{privacy["noise_multiplier"]:.4g} |
| accountant | `{privacy["accountant"]}` of opacus {privacy["opacus"]}; neighbours differ by \
{who} more or less |
| images | {privacy["images"]:,} took part, {privacy["images_left_out"]:,} were left out |

**This does not make the images anonymous.** Whatever anyone concludes from this version is at most
exp({epsilon:.2f}) = {_factor(epsilon)} times as probable with {who} among the training images as
without, but for a probability of delta.{_weak(epsilon)}

The command above ends in other weights each time: noise and choice of images come from a key that
is kept secret, since who has it could take the noise away.

Not covered:

{uncovered}
"""


def _factor(epsilon: float) -> str:
    return f"{math.exp(epsilon):,.0f}" if epsilon < 15 else f"{math.exp(min(epsilon, 700)):.0e}"


def _weak(epsilon: float) -> str:
    """What a number of this size is worth."""
    if epsilon <= 1:
        return ""
    return (
        "\n**An epsilon above 1 is a weak promise**: it is what a hospital's number of images "
        "leaves. It bounds what an\nattacker could learn at worst; it does not show that nothing "
        "is learnt."
    )


def _ancestry_text(ancestry: list[dict[str, Any]]) -> str:
    if not ancestry:
        return ""
    first = ancestry[0]
    lines = [f"It began with the weights of {first['model']} (digest `{first['digest'][:16]}`)"]
    lines[0] += " and of its discriminator." if first["discriminator"] else ", its generator alone."
    lines += first["differs"]
    if len(ancestry) > 1:
        lines.append("That one began with " + ", ".join(a["model"] for a in ancestry[1:]) + ".")
    return " ".join(lines)


def _chosen_text(training: dict[str, Any], config: dict[str, Any]) -> str:
    best = training.get("chosen")
    if not best:
        return ""
    by_label = ", ".join(f"{label} {1000 * kid:.1f}" for label, kid in best["by_label"].items())
    return (
        f"These are the weights of {best['step'] * config['batch_size']:,} images, the best by KID "
        f"on {best['n']} validation images: KID x 1000 is {1000 * best['kid']:.1f} "
        f"({by_label.removeprefix(' ')}; {best['extractor']}). "
    )


def _split_text(dataset: dict[str, Any]) -> str:
    """Which images were kept from the generator, and whether patients were kept apart."""
    splits = dataset.get("splits")
    if not splits:
        return "How the images were split is not known."
    lines = ["", "| split | images | patients |", "|---|---|---|"]
    for name, tally in splits.items():
        patients = "not known" if tally["patients"] is None else f"{tally['patients']:,}"
        lines.append(f"| {name.replace('_', '-')} | {tally['images']:,} | {patients} |")
    apart = (
        "No image was held out: what these images show cannot be told from what was remembered."
        if set(splits) == {"train"}
        else "The generator saw the train split alone; no patient and no near-duplicate is in two."
        if dataset["patients_by"] != "none"
        else "Patients are not known: **that one is in two splits cannot be excluded.**"
    )
    return "\n".join([*lines, "", apart, ""])
