"""The login form: a page of its own that needs no script and no other file."""

from __future__ import annotations

import base64
import html
import re
from hashlib import sha256
from pathlib import Path

from starlette.responses import HTMLResponse, Response

_PAGE = (Path(__file__).parent.parent / "web" / "login.html").read_text(encoding="utf-8")
_STYLE = re.search(r"<style>(.*?)</style>", _PAGE, re.DOTALL)
assert _STYLE is not None
_DIGEST = base64.b64encode(sha256(_STYLE[1].encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer a browser would send a form's Origin as null.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_WORDS = "Synthetic chest X-rays. This service is used with a key; its operator has made yours."


def login_page(next_path: str, wrong: str = "") -> HTMLResponse:
    """The form, status 401: what was asked for is not to be had without."""
    kind = ' class="wrong" role="alert"' if wrong else ""
    content = _PAGE.replace("<!-- message -->", f"<p{kind}>{html.escape(wrong or _WORDS)}</p>")
    content = content.replace("<!-- next -->", html.escape(local_path(next_path), quote=True))
    return HTMLResponse(content, 401, _HEADERS)


def local_path(path: str) -> str:
    """A path of this service, whatever was given: a login leads nowhere else."""
    return path if re.fullmatch(r"/(?![/\\])[!-~]*", path) else "/"


def login_instead(path: str, query: str, accept: str) -> Response | None:
    """The form, for a browser that asks for the page without a key; None for all others."""
    is_page = path in ("/", "/docs") or path.startswith("/ui/")
    if not is_page or "text/html" not in accept:
        return None
    return login_page(f"{path}?{query}" if query else path)
