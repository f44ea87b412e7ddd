"""events.md: of a job; and the columns of a ZIP's manifest."""

from __future__ import annotations

from app.formats.archive import COLUMNS
from tools.reference.markdown import HEAD, code, properties
from worker.events import EVENT


def events() -> str:
    schema = EVENT.json_schema()
    text = [
        HEAD,
        "# Events of a job\n",
        "`GET /train-jobs/{job}/events`: server-sent events, whose id is the place in the stream "
        "(`Last-Event-ID` goes on after it), or a page of JSON. Schema 1: a field that is added "
        "does not change it.\n",
    ]
    for name, each in schema["$defs"].items():
        text += [f"## {name}\n", each.get("description", ""), "", properties(each)]
    columns = ", ".join(map(code, COLUMNS))
    text += [
        "# The manifest of a ZIP\n",
        "`manifest.csv` has a row for each image, `manifest.jsonl` an object; their columns:\n",
        f"{columns}.\n",
    ]
    return "\n".join(text)
