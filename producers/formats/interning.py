"""Texts as small numbers: an open-addressing table that compiled functions fill, so that Python sees each distinct text once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagetrail.producers.formats.interning_jit import BEHIND, ID, NOTES, START, intern, reinsert


@dataclass(slots=True)
class Interner:
    """The table, and Python's side of it."""

    slots: NDArray[np.int64]
    notes: NDArray[np.int64]
    arena: NDArray[np.uint8]
    fill: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.fill[0])

    def text(self, k: int) -> bytes:
        """Return text *k*."""
        return self.arena[self.notes[START, k] : self.notes[BEHIND, k]].tobytes()

    def find(self, text: bytes) -> int:
        """Return the id of *text*, a new one on first sight."""
        data = np.frombuffer(text, np.uint8)
        while (k := int(intern(self.slots, self.notes, self.arena, self.fill, data, 0, data.size))) < 0:
            self.grow()
        return k

    def grow(self) -> None:
        """Give the table twice the room; ids stay."""
        count = len(self)
        bigger = new_interner(2 * self.notes.shape[1], 2 * self.arena.size)
        bigger.notes[:, :count] = self.notes[:, :count]
        bigger.arena[: self.arena.size] = self.arena
        reinsert(bigger.slots, bigger.notes, bigger.arena, count)
        self.slots, self.notes, self.arena = bigger.slots, bigger.notes, bigger.arena


def new_interner(texts: int, arena_bytes: int) -> Interner:
    """Return an empty table for *texts* texts, a power of two."""
    slots = np.zeros((2 * texts, 2), np.int64)
    slots[:, ID] = -1
    return Interner(slots, np.zeros((NOTES, texts), np.int64), np.zeros(arena_bytes, np.uint8), np.zeros(1, np.int64))
