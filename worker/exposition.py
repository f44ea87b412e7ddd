"""A worker's GET /metrics, on SYNTHORAX_WORKER_METRICS_PORT: nothing listens where it is not set.

It listens where the API would (SYNTHORAX_HOST), and wants a key where the API would: any scope.
"""

from __future__ import annotations

import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from library.keys import Keys
from library.settings import Settings
from worker.counts import Counts

logger = logging.getLogger("synthorax.worker")

_AGAIN_SECONDS = 5.0  # after a port was taken
_READ_SECONDS = 10.0  # that a scraper may take for its request


def serve(counts: Counts, settings: Settings) -> None:
    """Answer scrapers from a thread of its own, as soon as the port is free."""
    threading.Thread(target=_serve, args=(counts, settings), daemon=True).start()


def _serve(counts: Counts, settings: Settings) -> None:
    keys = Keys(settings.data_dir, settings.api_keys)

    class Answer(BaseHTTPRequestHandler):
        timeout = _READ_SECONDS

        def do_GET(self) -> None:
            status, body = self._found()
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer realm="synthorax"')
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _found(self) -> tuple[int, bytes]:
            if self.path.partition("?")[0] != "/metrics":
                return 404, b"GET /metrics\n"
            kind, _, key = self.headers.get("Authorization", "").partition(" ")
            known = kind.lower() == "bearer" and keys.find(key.strip()) is not None
            if keys.are_asked_for() and not known:
                return 401, b"Send Authorization: Bearer synthorax_...\n"
            return 200, counts.exposition()

        def log_message(self, *_: object) -> None:
            """Scrapes are no news."""

    address = (settings.host, settings.worker_metrics_port)
    while True:
        try:
            server = ThreadingHTTPServer(address, Answer)
        except OSError as error:
            # Jobs matter more than numbers: the worker works on meanwhile.
            logger.warning("SYNTHORAX_WORKER_METRICS_PORT %d: %s", address[1], error.strerror)
            time.sleep(_AGAIN_SECONDS)
        else:
            server.serve_forever()
