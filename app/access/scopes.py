"""What each route needs: the least scope that may use it, or none.

A route that no rule names needs `admin`: tests/test_scopes.py asks for a rule for each.
"""

from __future__ import annotations

import re

OPEN = None
_READ = ("GET", "HEAD", "OPTIONS")
_VERSION = r"/models/[^/]+"
# Methods, path, scope; the first that fits.
RULES: tuple[tuple[tuple[str, ...], str, str | None], ...] = (
    (_READ, r"/health/(live|ready)", OPEN),
    (("GET", "POST", "DELETE"), r"/session", OPEN),
    # A reader's link has a secret of its own; its page needs these files and no others.
    (_READ, r"/read", OPEN),
    (
        ("GET", "POST", "DELETE"),
        r"/read/(state|consent|(images|answers)(/[^/]+)?|finish|result)",
        OPEN,
    ),
    (_READ, r"/static/(read/[\w.-]+|tokens\.css|favicon\.svg|theme\.js)", OPEN),
    (_READ, r"/static/vendor/(ui/ui\.js|inter/[\w.-]+)", OPEN),
    # Real images of patients, and whatever leads to them.
    (_READ, r"/reader-studies(/[^/]+(/results\.(json|csv))?)?", "train"),
    (("GET", "HEAD", "POST", "DELETE"), r"/reader-studies(/.*)?", "admin"),
    (_READ, rf"{_VERSION}/samples/[^/]+/[^/]+/nearest(\.png)?", "train"),
    (_READ, rf"{_VERSION}/reports/[^/]+/operator/.*", "admin"),
    (_READ, rf"{_VERSION}/export", "admin"),
    (_READ, r"/studies/[^/]+/arms\.zip", "train"),
    (("POST",), r"/models", "admin"),
    (("POST",), rf"{_VERSION}/activate", "admin"),
    (("GET", "HEAD", "POST"), r"/withdrawals(/.*)?", "admin"),
    # Synthetic images, and what is told of the versions that make them.
    (("POST",), r"/generate|/verify", "generate"),
    (("GET", "HEAD", "POST", "DELETE"), r"/generate-jobs(/.*)?", "generate"),
    (_READ, r"/models(/.*)?", "generate"),
    (_READ, r"/studies(/.*)?", "generate"),
    (_READ, r"/metrics|/openapi\.json|/docs|/presets", "generate"),
    (_READ, r"/|/ui/.*|/static/.*", "generate"),
    # Training: jobs, datasets, reports, studies.
    (("POST", "DELETE"), rf"{_VERSION}/reports(/[^/]+)?", "train"),
    (("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), r"/datasets(/.*)?", "train"),
    (("GET", "HEAD", "POST", "DELETE"), r"/train-jobs(/.*)?", "train"),
    (("POST", "DELETE"), r"/studies(/.*)?", "train"),
    (_READ, r"/workers", "train"),
)
_COMPILED = [(methods, re.compile(path), scope) for methods, path, scope in RULES]


def needed(method: str, path: str) -> str | None:
    """The scope that a request needs; OPEN where everybody may."""
    for methods, pattern, scope in _COMPILED:
        if method in methods and pattern.fullmatch(path):
            return scope
    return "admin"
