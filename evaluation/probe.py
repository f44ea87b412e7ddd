"""A linear probe: multinomial logistic regression on features, and what is read from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PENALTY = 0.01  # of the squared weights, beside a mean loss
STEPS = 60


@dataclass(frozen=True)
class Probe:
    mean: Array
    deviation: Array
    weights: Array  # (d, classes)
    bias: Array

    def probabilities(self, features: NDArray[np.float32]) -> Array:
        """(n, classes)."""
        scores = (features - self.mean) / self.deviation @ self.weights + self.bias
        scores -= scores.max(1, keepdims=True)
        found = np.exp(scores)
        probabilities: Array = found / found.sum(1, keepdims=True)
        return probabilities


def fitted(
    features: NDArray[np.float32], classes: NDArray[np.int64], count: int, balanced: bool = True
) -> Probe:
    """A probe of `count` classes; balanced: each weighs the same, however many images it has."""
    import torch  # a classifier is trained

    mean = features.mean(0, dtype=np.float64)
    deviation = features.std(0, dtype=np.float64) + 1e-3
    x = ((features - mean) / deviation).astype(np.float32)
    right = np.eye(count, dtype=np.float32)[classes]
    shares = np.bincount(classes, minlength=count)
    of_class = len(classes) / (count * np.maximum(shares, 1)) if balanced else np.ones(count)
    each = (of_class[classes] / len(classes)).astype(np.float32)[:, None]
    weights, bias = torch.zeros(x.shape[1], count), torch.zeros(count)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def closure() -> float:
        """The loss; its gradient is written down, since NumPy multiplies by so narrow matrices
        several times as fast as torch (benchmarks/probe.py)."""
        w, b = weights.numpy(), bias.numpy()
        scores = x @ w + b
        scores -= scores.max(1, keepdims=True)
        found = np.exp(scores)
        total = found.sum(1, keepdims=True)
        error = (found / total - right) * each
        weights.grad = torch.from_numpy(x.T @ error + PENALTY * w)
        bias.grad = torch.from_numpy(error.sum(0))
        losses = each * (np.log(total) - (scores * right).sum(1, keepdims=True))
        return float(losses.sum(dtype=np.float64) + PENALTY / 2 * np.square(w).sum())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Probe(mean, deviation, weights.double().numpy(), bias.double().numpy())


def out_of_fold(
    features: NDArray[np.float32],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    count: int,
    random: np.random.Generator,
    folds: int = 5,
) -> Array:
    """Probabilities of each image by a probe that has seen none of its patient's."""
    _, member = np.unique(groups, return_inverse=True)
    fold = random.permutation(member.max() + 1)[member] % folds
    found = np.zeros((len(features), count))
    for i in range(folds):
        inside = fold == i
        if inside.any() and not inside.all():
            probe = fitted(features[~inside], classes[~inside], count)
            found[inside] = probe.probabilities(features[inside])
    return found


def auroc(scores: Array, positive: NDArray[np.bool_], weights: Array | None = None) -> float:
    """Area under the ROC curve, ties count half; weights: how often each image is there."""
    weights = np.ones(len(scores)) if weights is None else weights
    _, place = np.unique(scores, return_inverse=True)
    up = np.bincount(place, weights * positive)
    down = np.bincount(place, weights * ~positive)
    below = np.cumsum(down) - down / 2
    total = up.sum() * down.sum()
    return float((up * below).sum() / total) if total else float("nan")


def macro_auroc(
    probabilities: Array, classes: NDArray[np.int64], weights: Array | None = None
) -> float:
    """Mean over classes of each against the rest."""
    count = probabilities.shape[1]
    which = range(1, 2) if count == 2 else range(count)
    return float(np.mean([auroc(probabilities[:, k], classes == k, weights) for k in which]))


def balanced_accuracy(probabilities: Array, classes: NDArray[np.int64]) -> float:
    right = probabilities.argmax(1) == classes
    return float(np.mean([right[classes == k].mean() for k in np.unique(classes)]))
