"""A version on a Hugging Face hub, in one commit: the file, its card and its picture."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from synthorax.errors import ConnectionFailed, SynthoraxError
from synthorax.fetching import HUB

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
# What a hub shows of a repository, and what it searches by.
_ABOUT = """\
---
library_name: synthorax
pipeline_tag: unconditional-image-generation
tags:
- synthetic
- chest-x-ray
- medical
- gan
- onnx
---
"""
_USE = """
## Use it

```sh
synthorax models import hf://{repository}/{name}
```

It is one ZIP file; `model.onnx` inside runs in plain ONNX Runtime.
"""


def repository_of(target: str) -> str:
    """OWNER/REPO of hf://OWNER/REPO or OWNER/REPO.  Raises SynthoraxError."""
    found = target.removeprefix("hf://").rstrip("/")
    if not _REPOSITORY.fullmatch(found):
        raise SynthoraxError(f"{target!r} is no repository.", "Write hf://OWNER/REPO.")
    return found


def push(file: Path, repository: str, public: bool = False) -> dict[str, Any]:
    """Commit an exported version to OWNER/REPO, which is made if it is not there.

    public: of a repository that is made here; one that exists stays as it is.  The token is
    HF_TOKEN's, or that of `hf auth login`; HF_ENDPOINT names another hub.  Needs the extra `hub`.
    Returns repository, file, commit and url.  Raises SynthoraxError.
    """
    try:
        from httpx2 import TransportError
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise SynthoraxError(
            "Pushing needs huggingface_hub.", "pip install 'synthorax[hub]'"
        ) from None
    with zipfile.ZipFile(file) as archive:
        version = json.loads(archive.read("model.json"))
        card = archive.read("CARD.md").decode()
        picture = archive.read("samples.png")
    use = _USE.format(repository=repository, name=file.name)
    readme = f"{_ABOUT}\n{card.rstrip()}\n{use}".encode()
    api = HfApi(os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), os.environ.get("HF_TOKEN"))
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        made = api.create_commit(
            repository,
            [
                CommitOperationAdd(file.name, str(file)),
                CommitOperationAdd("README.md", readme),
                CommitOperationAdd("samples.png", picture),
            ],
            commit_message=f"{version['name']}@{version['version']}",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        wrong = status in (401, 403)
        raise SynthoraxError(
            f"The hub refused {repository!r} with {status}.",
            "Set HF_TOKEN to a token that may write there." if wrong else str(error).split("\n")[0],
        ) from None
    except TransportError as error:
        raise ConnectionFailed(f"The hub did not answer ({type(error).__name__}).") from None
    return {
        "repository": repository,
        "file": file.name,
        "commit": made.oid,
        "url": f"{api.endpoint}/{repository}",
    }
