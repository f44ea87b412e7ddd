"""How often is a study's verdict wrong, where it is known what is right?

    python -m benchmarks.study_errors [--repeats 400] [--only WORDS]

Scores are planted: what all arms see in an image of a patient, what a draw's classifiers alone see,
what a seed's alone sees, and what the arm gains.  Each repeat is a study of its own, judged by
studies.intervals and studies.verdicts as a real one is.  Table: docs/studies.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studies import intervals, metrics
from studies.intervals import Draw, Estimate
from studies.verdicts import BENEFIT, EQUIVALENT, HARM, INCONCLUSIVE, verdict

PATIENTS, RESAMPLES = 250, 300
VERDICTS = (BENEFIT, EQUIVALENT, INCONCLUSIVE, HARM)


@dataclass(frozen=True)
class Plan:
    """What is planted, in deviations of what all arms see.

    signal: between the classes; gain: of the arm's, beside it; wander: of the gain, from draw to
    draw; own, noise: of what a draw, and a seed, sees in an image that no other does; start: of
    the gain, from seed to seed; common: whether a seed's is the same in all draws of an arm.
    """

    name: str
    signal: float = 1.5
    gain: float = 0.0
    wander: float = 0.05
    own: float = 0.3
    noise: float = 0.3
    start: float = 0.0
    common: bool = False
    draws: int = 3
    control_draws: int = 1
    seeds: int = 3
    patients: int = PATIENTS
    smallest: float = 0.01


PLANS = (
    Plan("labels without a signal", signal=0.0),
    Plan("no gain"),
    Plan("no gain, generators differ much", wander=0.15),
    Plan("no gain, classifiers differ much", own=0.6, noise=0.6),
    Plan("no gain, starts differ much", start=0.25, seeds=2),
    Plan("the same at a smaller size (paired draws)", start=0.25, seeds=2, control_draws=3),
    Plan(
        "the same, were a seed's start common to all draws (it is not)",
        start=0.25,
        seeds=2,
        control_draws=3,
        common=True,
    ),
    Plan("no gain, five generators", draws=5),
    Plan("no gain, a smaller size (paired draws)", control_draws=3, wander=0.15),
    Plan("no gain, one generator that is taken as it is", draws=1, wander=0.0),
    Plan("no gain, 80 patients", patients=80),
    Plan("no gain, one seed, two generators", start=0.25, seeds=1, draws=2),
    Plan("no gain, one seed, three generators", start=0.25, seeds=1),
    Plan("no gain, one seed, five generators", start=0.25, seeds=1, draws=5),
    Plan("a gain", gain=0.4, patients=500),
    Plan("a loss", gain=-0.4, patients=500),
    Plan("no gain that matters", gain=0.01, wander=0.02, own=0.15, noise=0.15, smallest=0.03),
)


def study(plan: Plan, random: np.random.Generator) -> Estimate:
    """The arm's AUROC less its control's."""
    groups = np.repeat(np.arange(plan.patients), 1 + random.poisson(0.6, plan.patients))
    # A patient's images mostly share their class, and in part what is seen in them.
    mostly = random.random(plan.patients) < 0.5
    positive = np.where(random.random(len(groups)) < 0.9, mostly[groups], ~mostly[groups])
    seen = random.normal(size=plan.patients)[groups] + random.normal(size=len(groups))
    seen = seen / np.sqrt(2) + plan.signal * positive
    weights = intervals.resamples(groups, random, RESAMPLES)

    def arm(gain: float, wander: float, draws: int) -> list[Draw]:
        shared = random.normal(size=plan.seeds)
        return [
            _draw(
                plan,
                seen
                + (gain + wander * random.normal()) * positive
                + plan.own * random.normal(size=len(groups)),
                positive,
                weights,
                shared if plan.common else random.normal(size=plan.seeds),
                random,
            )
            for _ in range(draws)
        ]

    # A single draw of the control is all there is of it: its patients are given.
    paired = plan.draws == plan.control_draws > 1
    one = arm(plan.gain, plan.wander, plan.draws)
    other = arm(0.0, plan.wander if plan.control_draws > 1 else 0.0, plan.control_draws)
    df = intervals.patients_df(groups, positive)
    return intervals.difference(one, other, paired, df, (True, True))


def _draw(
    plan: Plan,
    seen: NDArray[np.float64],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64],
    starts: NDArray[np.float64],
    random: np.random.Generator,
) -> Draw:
    scores = seen + plan.noise * random.normal(size=(plan.seeds, len(seen)))
    scores += plan.start * starts[:, None] * positive
    once = metrics.once(len(seen))
    return Draw(
        np.array([metrics.auroc(each, positive, once)[0] for each in scores]),
        np.array([metrics.auroc(each, positive, weights) for each in scores]),
    )


def rates(plan: Plan, repeats: int, seed: int = 0) -> dict[str, float]:
    """Share of the repeats with each verdict."""
    found: Counter[str] = Counter()
    for repeat in range(repeats):
        low, high = study(plan, np.random.default_rng([seed, repeat])).interval
        found[verdict(low, high, plan.smallest)] += 1
    return {name: found[name] / repeats for name in VERDICTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="WORDS", help="plans whose names have them")
    given = parser.parse_args()
    print(f"{given.repeats} repeats of each\n")
    print(f"| planted | {' | '.join(VERDICTS)} |\n|---|{'---|' * len(VERDICTS)}")
    for plan in (plan for plan in PLANS if given.only in plan.name):
        found = rates(plan, given.repeats, given.seed)
        shown = " | ".join(f"{found[name]:.1%}" for name in VERDICTS)
        print(f"| {plan.name} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
