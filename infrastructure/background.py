"""Work beside Celery's few threads: what takes minutes must not keep the sealer waiting."""

import logging
from collections.abc import Callable
from threading import BoundedSemaphore, Thread

from django.db import connections

log = logging.getLogger(__name__)


class Background:
    """Runs a function in threads of its own, at most `places` at a time."""

    def __init__(self, name: str, work: Callable[[], object], places: int = 1) -> None:
        self._name, self._work = name, work
        self._places = BoundedSemaphore(places)

    def wake(self) -> None:
        """Start a thread if there is a place for one. Returns at once."""
        if self._places.acquire(blocking=False):
            Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # whoever woke it tries again
            log.exception("%s broke off", self._name)
        finally:
            connections.close_all()
            self._places.release()
