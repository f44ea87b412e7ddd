"""LitServe with the transport that fast_queue=True means to choose, which 0.2.19 never does.

    python -m benchmarks.rivals.litserve_repaired_server --port 8004 [--threads 1] [--null]

The flag is passed on by a wrong name, and the two addresses of the ZeroMQ broker are exchanged
(Lightning-AI/LitServe issue 751, open).  This puts both right from outside, so that nobody need
ask what it would do then.
"""

from typing import Any

import litserve.server  # type: ignore[import-not-found,import-untyped,unused-ignore]
from litserve.transport.zmq_queue import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    Broker,
)
from litserve.transport.zmq_transport import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    ZMQTransport,
)

from benchmarks.rivals import litserve_server


def zmq_transport(_: Any) -> Any:
    broker = Broker()
    broker.start()
    return ZMQTransport(
        backend_address=broker.backend_address, frontend_address=broker.frontend_address
    )


if __name__ == "__main__":
    litserve.server.create_transport_from_config = zmq_transport
    litserve_server.main()
