"""Which of the forms that we have does an Accept header prefer (RFC 9110, 12.5.1)."""

from __future__ import annotations

from functools import lru_cache

from app.errors import NotAcceptable


@lru_cache(maxsize=256)
def preferred(accept: str, forms: tuple[str, ...]) -> str:
    """The best of `forms` (in our order of preference).  Raises NotAcceptable."""
    best, best_quality = None, 0.0
    for form in forms:
        quality = _quality(accept, form)
        if quality > best_quality:
            best, best_quality = form, quality
    if best is None:
        raise NotAcceptable(
            f"Accept is {accept!r}.",
            field="Accept",
            value=accept,
            remedy=f"Accept one of: {', '.join(forms)}.",
        )
    return best


def _quality(accept: str, form: str) -> float:
    """The quality of the most specific range that matches; 0 when none does."""
    kind = form.partition("/")[0]
    specificity, quality = -1, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        rank = {form: 2, f"{kind}/*": 1, "*/*": 0}.get(name.lower(), -1)
        if rank > specificity:
            specificity = rank
            q = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            try:
                quality = float(q)
            except ValueError:
                quality = 1.0
    return quality
