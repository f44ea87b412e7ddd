"""metrics.md: what the API and the workers export."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.main import create_app
from library.settings import Settings
from tools.reference.markdown import HEAD, code, table
from worker.counts import FAMILIES


def metrics() -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), redis_url=f"unix://{folder}/none.sock")
        registry = create_app(settings).state.synthorax.metrics.registry
        # The families' own names: a counter's samples end with _total.
        of_api = [
            [
                f"{each.name}_total" if each.type == "counter" else each.name,
                each.type,
                vars(each).get("_labelnames", ()),
                each.documentation,
            ]
            for each in registry.collect()
        ]
    of_worker = [[name, each.kind, each.labels, each.text] for name, each in FAMILIES.items()]
    return "\n".join(
        [
            HEAD,
            "# Metrics\n",
            "What [observability.md](../observability.md#metrics) is about. A histogram has "
            "`_bucket`, `_sum` and `_count`; both also export `process_…` of prometheus_client.\n",
            "## API: GET /metrics\n",
            _metrics_table(row for row in of_api if row[0].startswith("synthorax_")),
            "## Worker: SYNTHORAX_WORKER_METRICS_PORT\n",
            _metrics_table(of_worker),
        ]
    )


def _metrics_table(rows: Iterable[list[Any]]) -> str:
    heads = ["metric", "kind", "labels", "what"]
    cells = [
        [code(name), kind, ", ".join(map(code, labels)), text] for name, kind, labels, text in rows
    ]
    return table(heads, sorted(cells))
