"""Draw items in a thread of their own while those before them are used: reading and appending overlap on two cores."""

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

AHEAD: Final = 1
"""Items that wait to be used, at most. One more is in the making."""


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing follows; *error* is why, if the items did not simply end."""

    error: BaseException | None = None


class _Drawing(Generic[Item]):
    """A thread that draws from an iterator, which nobody else uses meanwhile."""

    def __init__(self, items: Iterator[Item], most: int) -> None:
        self._items = items
        self._made: queue.Queue[Item | _End] = queue.Queue(most)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pagetrail-drawing", daemon=True)

    def used(self) -> Iterator[Item]:
        """Yield the items; what drawing one raised is raised in its place."""
        self._thread.start()
        while not isinstance(made := self._made.get(), _End):
            yield made
        if made.error is not None:
            raise made.error

    def stop(self) -> None:
        """Return when the thread has ended. What it has drawn and nobody used is dropped."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._made.get(timeout=0.01)  # a thread that waits for room goes on, and sees that it is to stop
            except queue.Empty:
                self._thread.join(0.01)

    def _run(self) -> None:
        self._made.put(_End(self._drawn()))

    def _drawn(self) -> BaseException | None:
        """Draw until the end, or until nobody wants more; return what stopped it."""
        try:
            for item in self._items:
                self._made.put(item)
                if self._stopped.is_set():
                    break
            if isinstance(self._items, Generator):
                self._items.close()  # here, as it ran here: its files are closed before ``stop`` returns
        except BaseException as error:  # noqa: BLE001 - it is raised where the item was wanted
            return error
        return None


def drawn_ahead(items: Iterator[Item], most: int = AHEAD) -> Generator[Item]:
    """Yield *items* in their order; a thread draws up to *most* of them and one more before they are wanted.

    What drawing an item raises is raised here when that item is wanted, behind all that precede it. When this generator ends, for
    whatever reason, the thread has ended, and *items* is closed if it is a generator.
    """
    drawing = _Drawing(items, most)
    try:
        yield from drawing.used()
    finally:
        drawing.stop()
