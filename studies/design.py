"""What a study's configuration fixed, as facts for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from library.studies.config import NETWORK
from studies.words import arm_name, classifier_name, metric_name, one_generator, size_name

Content = Mapping[str, Any]


def facts(content: Content) -> dict[str, str]:
    """Name -> words, in the order in which a reader asks."""
    config, small = content["config"], content["kind"] == "small_class"
    others = [label for label in content["labels"] if label != content["positive"]]
    each = "fold" if small else "draw of samples" if one_generator(content) else "generator"
    trainings = (
        {"trainings of a network": f"{config['seeds']} for each arm and {each}"}
        if NETWORK in config["classifiers"]
        else {}
    )
    sizes = "; ".join(size_name(content, size) for size in config["sizes"])
    found = {
        "question": f"{content['positive']} against {', '.join(others)}",
        "primary contrast": (
            f"{arm_name('real_synthetic', config['ratio'])}, less "
            f"{arm_name('duplicates', config['ratio'])}: {metric_name(content)}, "
            f"{classifier_name(config['primary_classifier'])}, "
            f"{size_name(content, config['sizes'][0])}"
        ),
        "smallest useful effect": f"{config['smallest_useful_effect']:g} of {metric_name(content)}",
        "trained on": counted(content, "train"),
        "tested on": f"{counted(content, 'test')}, {tested(content)}",
        "generator": generator(content),
        "classifiers": ", ".join(map(classifier_name, config["classifiers"])),
        **trainings,
        "classes with synthetic images": ", ".join(config["synthetic_classes"]) or "all",
        "budget of every arm": f"{config['epochs']:g} epochs of the real images, at least "
        f"{config['steps_min']} steps of 64",
        "images": f"{config['resolution']} × {config['resolution']} pixels, {config['fit']}, all",
        "seed": str(config["seed"]),
    }  # fmt: skip
    if small:
        found["folds"] = f"{config['folds']}, by patients, {config['repeats']} times"
    elif len(config["sizes"]) > 1:
        found["sizes"] = sizes
    return found


def counted(content: Content, part: str) -> str:
    """Images and patients of a part, of the first size: a range where partitions differ."""
    first = content["config"]["sizes"][0]
    those = [each[part] for each in content["data"]["partitions"] if each["size"] == first]
    text = f"{_range(each['images'] for each in those)} images"
    if not content["data"]["patients_known"]:
        return f"{text}, patients not known"
    return f"{text} of {_range(each['patients'] for each in those)} patients"


def left_out(content: Content) -> str:
    """The images of a small class's large test, as the beginning of a sentence."""
    rest = content["data"]["large_test"]
    whose = "" if rest["patients"] is None else f", of {rest['patients']:,} other patients"
    return f"The {rest['images']:,} other images of the small class{whose}"


def _range(numbers: Iterable[int | None]) -> str:
    found = sorted({number for number in numbers if number is not None})
    if not found:
        return "no"
    return f"{found[0]:,}" + (f" to {found[-1]:,}" if len(found) > 1 else "")


def tested(content: Content) -> str:
    split = content["data"]["test_split"]
    known = {"held_out": "held out", "validation": "the validation split", "folds": "in each fold"}
    return known.get(split, str(split).replace("_", " "))


def generator(content: Content) -> str:
    config = content["config"]
    found = config["generator"]
    if found["model"]:
        return f"the published version {found['model']}"
    if found["images"]:
        return f"images that were given, {found['images']}"
    shown = f"{_range(each['images'] for each in content['generators'])} images shown"
    if collapsed := sum(each["collapsed"] is not None for each in content["generators"]):
        shown += f" ({collapsed} collapsed, used as of the last epoch before the signs)"
    if content["kind"] == "small_class":
        return f"preset {found['preset']}, trained anew in every fold, {shown}"
    count = config["generators"]
    times = "once" if count == 1 else f"{count} times with other seeds"
    return f"preset {found['preset']}, trained {times} for each size, {shown}"
