"""How a file is to be read: as one recording in order, by merging blocks of it, or as several recordings one after another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pagetrail.producers.formats.format import Format, Part, Surveys
from pagetrail.producers.inputs import Input, blocks, stream_id
from pagetrail.producers.spool import filled, reopened
from pagetrail.schemas.errors import InputError, TruncatedInput

MERGED: Final = "it is {} blocks of events, one of each CPU; they were merged by time, and lines are counted as merged"


class _PartInput(Input):
    """A part of a file, or a file in another order."""

    def __init__(self, file: BinaryIO, source: str, whole_truncated: TruncatedInput | None, *, text: bool) -> None:
        super().__init__(file, source, text=text)
        self._whole_truncated = whole_truncated

    @property
    def truncated(self) -> TruncatedInput | None:
        """Why the whole file ended in the middle, if it did."""
        return self._whole_truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """A file that was read once: its hash and its parts.

    Attributes
    ----------
    opens
        Opens the file at its start, any number of times: its bytes, or, if told, its text in UTF-8.
    """

    opens: Callable[[bool], Input]
    found: Format
    content_id: str
    parts: tuple[Part, ...]
    survey: Surveys | None
    truncated: TruncatedInput | None

    @property
    def merged(self) -> int:
        """Of how many blocks the only part is merged; 0: it is in order."""
        return len(self.parts[0].blocks) if len(self.parts) == 1 else 0

    @property
    def anew(self) -> tuple[tuple[int, int], ...]:
        """Where the only part begins anew: the times before and behind."""
        return self.parts[0].anew

    def open(self, folder: Path | None) -> Input:
        """Open the file as one recording.

        Parameters
        ----------
        folder
            Where a copy to merge from is made, or below which of its parents; null: where the system keeps temporary files.

        Raises
        ------
        InputError
            It is more than one recording.
        """
        if len(self.parts) > 1:
            raise self._refused()
        found = self.parts[0].blocks
        if self.survey is None or not found:
            return self.opens(True)
        source = self.opens(False)
        merged = self.survey.merged(_copy(source, self.parts[0], folder), found)
        return _PartInput(merged, source.source, self.truncated, text=True)

    @contextmanager
    def part(self, number: int, folder: Path | None) -> Iterator["Arrangement"]:
        """Yield part *number* as a file of its own; what it opened stays open."""
        part = self.parts[number]
        source = self.opens(False)
        file, name, truncated = _copy(source, part, folder), source.source, self.truncated

        def opens(text: bool) -> Input:
            return _PartInput(reopened(file), name, truncated if part.stop is None else None, text=text)

        with file:
            yield arrange(opens, self.found)

    def _refused(self) -> InputError:
        second = self.parts[1]
        with self.opens(False) as stream:
            source = stream.source
        return InputError(
            f"{source}: expected one recording, found {len(self.parts)}, one after another: at line {second.line} time falls on "
            f"all CPUs, from {_seconds(second.t_from)} to {_seconds(second.t_to)}: another boot begins there, or the same buffer "
            "was saved again; nothing was stored. Give each a file of its own, or run the same command with --split-boots: it "
            "makes one recording of each"
        )


def arrange(opens: Callable[[bool], Input], found: Format) -> Arrangement:
    """Read a file of the format *found* once, and return how it is to be read."""
    survey = found.survey() if found.survey else None
    with opens(False) as stream:
        content_id = stream_id(stream, survey.feed) if survey else stream_id(stream)
        truncated = stream.truncated
    parts = survey.parts() if survey else (Part(start=0),)
    return Arrangement(opens=opens, found=found, content_id=content_id, parts=parts, survey=survey, truncated=truncated)


def _copy(source: Input, part: Part, folder: Path | None) -> BinaryIO:
    """Return the bytes of a *part* of *source*, which is closed then, as a file that vanishes when it is closed."""

    def fill(file: BinaryIO) -> None:
        at = 0
        for block in blocks(source):
            low = min(max(part.start - at, 0), len(block))
            high = len(block) if part.stop is None else min(max(part.stop - at, 0), len(block))
            file.write(block[low:high])
            at += len(block)

    with source:
        return filled(fill, folder, "part")


def _seconds(ts: int | None) -> str:
    return "?" if ts is None else f"{ts / 1e9:.6f} s"
