"""A sample's identity: its digest is that of the canonical JSON of the five deciding facts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.digest import canonical_json
from library.identity import Identity, Origin
from library.latents import SEED_MAX

ORIGIN = Origin("chest@1", "a" * 64, "b" * 64, "onnxruntime", "float32", 1.0)
SAMPLE = Identity(ORIGIN, "NORMAL", 42)
HOSTILE = ('"seed":0', '","seed":0,"', '\\"seed":0', "seed", '"seed": 0', "", "\udc80", "\\", "\0")

# Bytes of a folder's name that are not UTF-8 reach us as lone low surrogates.
hostile = st.sampled_from(HOSTILE)
labels = st.none() | st.text(st.characters(exclude_categories=[]), max_size=30) | hostile
labels |= st.tuples(hostile, hostile).map("".join)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
origins = st.builds(
    Origin,
    model=st.sampled_from(["chest@1", "other@20"]),
    version_digest=digests | hostile,
    engine_digest=digests | hostile,
    backend=st.sampled_from(["onnxruntime", "torch", "cuda"]),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    truncation=st.floats(0, 1, exclude_min=True),
)
identities = st.builds(Identity, origins, labels, st.integers(0, SEED_MAX))


def plain_digest(identity: Identity) -> str:
    return hashlib.sha256(canonical_json(identity.decisive())).hexdigest()


@given(identity=identities)
def test_the_digest_is_that_of_the_canonical_json(identity: Identity) -> None:
    assert identity.digest() == plain_digest(identity)


@given(identity=identities, seed=st.integers(0, SEED_MAX))
def test_another_seed_of_the_same_origin_has_its_own_digest(identity: Identity, seed: int) -> None:
    other = identity._replace(seed=seed)
    assert other.digest() == plain_digest(other)
    assert (other.digest() == identity.digest()) == (seed == identity.seed)


@pytest.mark.parametrize(
    "other",
    [
        SAMPLE._replace(seed=43),
        SAMPLE._replace(seed=SEED_MAX),
        SAMPLE._replace(label="PNEUMONIA"),
        SAMPLE._replace(label=None),
        SAMPLE._replace(label=""),
        SAMPLE._replace(label="null"),
        SAMPLE._replace(origin=dataclasses.replace(ORIGIN, version_digest="c" * 64)),
        SAMPLE._replace(origin=dataclasses.replace(ORIGIN, engine_digest="c" * 64)),
        SAMPLE._replace(
            origin=dataclasses.replace(ORIGIN, version_digest="b" * 64, engine_digest="a" * 64)
        ),
        SAMPLE._replace(origin=dataclasses.replace(ORIGIN, truncation=0.7)),
        SAMPLE._replace(origin=dataclasses.replace(ORIGIN, truncation=0.9999999999999999)),
    ],
)
def test_every_deciding_fact_changes_the_digest(other: Identity) -> None:
    assert other.digest() != SAMPLE.digest()
    assert SAMPLE._replace(label="null").digest() != SAMPLE._replace(label=None).digest()


@pytest.mark.parametrize(
    "told", [{"model": "renamed@7"}, {"backend": "torch"}, {"precision": "bfloat16"}]
)
def test_what_is_only_told_does_not(told: dict[str, Any]) -> None:
    """The engine's digest stands for backend and precision, the version's for its name."""
    other = SAMPLE._replace(origin=dataclasses.replace(ORIGIN, **told))
    assert other.digest() == SAMPLE.digest()
    assert other.facts() != SAMPLE.facts()


@given(identity=identities)
def test_the_facts_hold_the_five_and_how_to_read_them(identity: Identity) -> None:
    facts = identity.facts()
    origin = identity.origin
    assert identity.decisive() == {
        "version_digest": origin.version_digest,
        "engine_digest": origin.engine_digest,
        "label": identity.label,
        "seed": identity.seed,
        "truncation": origin.truncation,
    }
    assert facts == {
        "synthetic": True,
        "model": origin.model,
        "backend": origin.backend,
        "precision": origin.precision,
        **identity.decisive(),
    }
    assert json.loads(json.dumps(facts)) == facts  # what a file holds reads back as it was
