"""Whether a study's generator has seen, itself or by what it began with, who is tested on."""

from __future__ import annotations

from library.ancestors import find_ancestor
from library.config import resolve
from library.errors import InvalidValue, SynthoraxError
from library.studies.config import StudyConfig
from library.versions import ModelLibrary, Version

_FINE_TUNE = "config.generator.config.fine_tune"


def wrong_lineage(
    config: StudyConfig, fingerprint: str | None, library: ModelLibrary
) -> list[InvalidValue]:
    """What is wrong with the version that a study names, or that its trainings begin with.

    fingerprint: of the study's dataset; a version that was trained on it has seen no held-out
    image.  A version that is not here is no concern of this.
    """
    model, begins = config.generator.model, config.generator.config.get("fine_tune")
    if begins:
        if alone := _needs_nothing(config):
            return [InvalidValue(
                f"{_FINE_TUNE} is {begins!r}, and {alone}.", field=_FINE_TUNE, value=begins,
                remedy="Leave it out: a study's generators then begin from nothing.",
            )]  # fmt: skip
        try:
            version = find_ancestor(library, begins)
        except InvalidValue as error:
            return [InvalidValue(error.detail, field=_FINE_TUNE, value=begins, remedy=error.remedy)]
        field, remedy = _FINE_TUNE, "Begin with a version of this very dataset, or from nothing."
    elif model is not None:
        try:
            version = library.find(model)
        except SynthoraxError:
            return []
        field = "config.generator.model"
        remedy = "Name a version that was trained on this very dataset, or a preset."
    else:
        return []
    if other := _other_images(version, fingerprint, library):
        of = "" if other == version.reference else f" began with {other}, which"
        text = (
            f"{version.reference}{of} was trained on another dataset, or another split of this "
            "one: it may have seen the images that are tested on."
        )
        return [InvalidValue(text, field=field, value=version.reference, remedy=remedy)]
    return []


def _needs_nothing(config: StudyConfig) -> str | None:
    """Why a study's generators must begin from nothing, if they must."""
    if config.kind == "small_class":
        return "that version has seen the patients of every fold, or cannot show it has not"
    if config.sizes != (1.0,):
        return "that version has seen all patients, those of no smaller size, too"
    if resolve(str(config.generator.preset), config.generator.config).privacy.active:
        return "that version has seen these patients without noise: privacy would be void"
    return None


def _other_images(version: Version, fingerprint: str | None, library: ModelLibrary) -> str | None:
    """The first of a version and its ancestors that is not known to be of these images."""
    if version.card["dataset"].get("fingerprint") != fingerprint:
        return version.reference
    known = {each.digest: each for each in library.whole()}
    for begun in version.card.get("ancestry", ()):
        older = known.get(begun["digest"])
        if older is None or older.card["dataset"].get("fingerprint") != fingerprint:
            return str(begun["model"])
    return None
