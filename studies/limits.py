"""What a study's numbers do not say, in words for whoever reads them."""

from __future__ import annotations

from library.config import resolve
from library.studies.config import StudyConfig
from studies.predictions import Predictions


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
    if config.generator.images is not None:
        found.append(
            "The synthetic images are a folder's. Whether their generator was trained on patients "
            "who are tested on here cannot be told: if it was, they look too good."
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


def _private(config: StudyConfig) -> bool:
    generator = config.generator
    return resolve(str(generator.preset), generator.config).privacy.active
