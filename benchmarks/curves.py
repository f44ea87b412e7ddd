"""KID on the validation images against images shown, of each version's own card, as one picture.

python -m benchmarks.curves --library FOLDER NAME@VERSION … -o docs/img/kid-by-images.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from library.versions import ModelLibrary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="NAME@VERSION")
    parser.add_argument("--library", type=Path, required=True, help="folder of models")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    library = ModelLibrary(arguments.library)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name in arguments.models:
        training = library.find(name).card["training"]
        curve = training["validation"]
        axes.plot(
            [each["images"] / 1000 for each in curve],
            [1000 * each["kid"] for each in curve],
            marker="o", markersize=3, label=f"{name} ({training['preset']})",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="images shown, thousands")
    axes.set_ylabel("KID × 1000 on validation images")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
