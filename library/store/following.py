"""A machine follows the store: what others have changed is brought here every few seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from library.errors import SynthoraxError
from library.store.objects import StoreAway
from library.store.shared import Store

logger = logging.getLogger("synthorax.store")


def follow(
    store: Store,
    seconds: float,
    ended: threading.Event,
    give: bool = False,
    changed: Callable[[], None] = lambda: None,
) -> None:
    """Until `ended`: look every so often, and say once when the store goes away or comes back.

    give: also put what only this folder has; changed: called when the model library is another.
    """
    away = False
    while not ended.is_set():
        try:
            if store.refresh(give):
                changed()
            if away:
                logger.warning("the store is back")
            away = False
        except StoreAway as error:
            if not away:
                logger.warning("%s What is here is used meanwhile.", error)
            away = True
        except SynthoraxError as error:
            logger.warning("%s", error)
        except Exception:  # one object that cannot be understood must not end the looks at others
            logger.exception("the store could not be followed")
        ended.wait(seconds)


def in_background(
    store: Store, seconds: float, give: bool = False, changed: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    """`follow` in a thread of its own; what ends it."""
    ended = threading.Event()
    arguments = (store, seconds, ended, give, changed)
    threading.Thread(target=follow, args=arguments, name="store", daemon=True).start()
    return ended.set
