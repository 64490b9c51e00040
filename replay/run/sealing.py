"""Segments are written in a thread of their own while the stream goes on: folding and writing overlap on two cores."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

_THREAD: Final = "pagetrail-sealing"


class Sealing:
    """Does work in a thread, one piece after another; no more than one waits or runs, so that memory holds one segment more."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin with *work* when the piece before it is done.

        Raises
        ------
        Exception
            What the piece before raised.
        """
        self.finish()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, _THREAD)
        self._running = self._thread.submit(work)

    def finish(self) -> None:
        """Return when all work is done; raise what it raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Return when all work is done, whatever it raised, and the thread has ended."""
        self._running = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
