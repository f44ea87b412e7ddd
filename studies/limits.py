"""What a study's numbers do not say, in words for whoever reads them."""

from __future__ import annotations

import numpy as np

from library.config import resolve
from library.studies.config import StudyConfig
from studies.arms import wanted_of_each
from studies.contrasts import differs
from studies.predictions import Predictions
from studies.words import arm_name, classifier_name

_SHARED_MUCH = 0.1


def limits(predictions: Predictions) -> list[str]:
    """Sentences, what is particular to this study first."""
    config, found = predictions.config, list[str]()
    if config.kind == "small_class":
        found.append(
            "The folds' classifiers learn from one another's test patients: an arm's interval is "
            "widened for it. A contrast's counts patients and how much the folds' generators and "
            "classifiers differ; what all folds share, as most of their patients, is in none."
        )
        if predictions.large:
            found.append(
                "The large test has new positive patients; its negative images are those of the "
                "folds. It is a sample, too: with few patients it may lie outside an interval that "
                "holds the truth."
            )
    else:
        if 1.0 in config.sizes:
            found.append(
                "At size 1 all arms share the training patients there are: other patients would "
                "have trained other classifiers, which no interval here speaks of."
            )
        if config.generators == 1 or not config.generator.trained:
            found.append(
                "There is one generator, and it is taken as it is: another training of it may "
                "help more or less."
            )
        if config.test == "validation":
            chose = ", which chose the generator's weights" if config.generator.model else ""
            found.append(f"The test images are the validation images{chose}.")
    if silent := _silent(predictions):
        found.append(
            f"Of {silent[1]} generators {silent[0]} had too few images of a class among those that "
            "chose the checkpoint: the other classes chose alone."
        )
    if fallen := sum(each["collapsed"] is not None for each in predictions.generators):
        found.append(
            f"Of {len(predictions.generators)} generators {fallen} collapsed in training and are "
            "used as they were before the signs: their images of a class may be much alike."
        )
    if config.generator.images is not None:
        found.append(
            "The synthetic images are a folder's. Whether their generator was trained on patients "
            "who are tested on here cannot be told: if it was, they look too good."
        )
        if (shared := _shared(predictions)) > _SHARED_MUCH:
            found.append(
                f"Any two draws of its images have up to {shared:.0%} of them in common: how far "
                "other samples would have been off is in the intervals in part alone."
            )
    if config.generator.preset is not None and _private(config):
        found.append(
            "Each generator has spent a privacy budget of its own on these patients, and the "
            "budgets add up; this study's numbers come from real images under no budget."
        )
    if config.seeds == 1:
        found.append(
            "One classifier was trained of each kind, an arm and a generator: what another seed "
            "would have changed is in no interval of a single generator."
        )
        if config.kind == "usefulness" and config.generators > 1 and 1.0 in config.sizes:
            found.append(
                "At size 1 how far another training would have been off is taken from the "
                "generators' trainings: with few of them a benefit or a harm is found by chance "
                "more often than in 2.5% of studies each."
            )
    elif lone := _once(predictions):
        found.append(
            f"There is one training of {', '.join(lone)}: how far another would have been off is "
            "taken from the arms that it is held against."
        )
    if not predictions.patients_known:
        found.append(
            "Patients are not known: every image counts as one of its own, and the intervals are "
            "too narrow where they are not."
        )
    return [
        *found,
        "One contrast was fixed beforehand; of all others the p values are corrected by Holm, "
        "their intervals are not.",
        "What was measured is these classifiers, on this data set and with this budget.",
    ]


def _silent(predictions: Predictions) -> tuple[int, int] | None:
    """Of so many generators whose checkpoint was chosen, those where a class had no say."""
    chosen = [each["chose"] for each in predictions.generators if each["chose"] is not None]
    few = sum(set(names) < set(predictions.prepared["labels"]) for names in chosen)
    return (few, len(chosen)) if few else None


def _shared(predictions: Predictions) -> float:
    """Share of the images of a class that two draws of a folder have in common, at most."""
    folder, config = predictions.prepared.get("folder"), predictions.config
    if folder is None or config.generators == 1:
        return 0.0
    labels, found = predictions.prepared["labels"], [0.0]
    for part in predictions.prepared["partitions"].values():
        counts = np.array([part["train"]["labels"][label] for label in labels])
        needed = wanted_of_each(config, labels, counts)
        there = [folder["labels"].get(label, 0) for label in labels]
        found += [n / m for n, m in zip(needed, there, strict=True) if n and m]
    return float(max(found))


def _once(predictions: Predictions) -> list[str]:
    """Arms that were trained a single time, and would end elsewhere another time."""
    if predictions.config.kind == "small_class":
        return []
    found: dict[str, None] = {}
    for size in predictions.config.sizes:
        for arm in predictions.arms(size):
            runs = sum(len(predictions.runs[arm][p]) for p in predictions.places(arm, size))
            if runs == 1 and differs(arm):
                found[f"{arm_name(arm.name, arm.ratio)} ({classifier_name(arm.classifier)})"] = None
    return list(found)


def _private(config: StudyConfig) -> bool:
    generator = config.generator
    return resolve(str(generator.preset), generator.config).privacy.active
