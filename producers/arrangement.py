"""How a file is to be read: as one recording in order, by merging blocks of it, or as several recordings one after another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from pagetrail.producers.formats.format import Format, Part, Surveys
from pagetrail.producers.formats.recognise import recognised
from pagetrail.producers.inputs import UNCOMPRESSED_STEP, Input, Source, blocks, stream_id
from pagetrail.producers.spool import filled
from pagetrail.producers.stepped import Stepped
from pagetrail.schemas.errors import InputError, TruncatedInput

SPLIT: Final = "Give each a file of its own, or run the same command with --split-boots: it makes one recording of each"
SAVE_EACH: Final = "Make a capture directory of each, with the files that belong to it"
"""Of the trace of a capture directory, whose other files are those of one boot."""

MERGED: Final = "it is {} blocks of events, one of each CPU; they were merged by time, and lines are counted as merged"


class _Range(Stepped):
    """Bytes [start, stop) of a file, wherever others stand in it; *stop* is null for its end."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        super().__init__()
        self._descriptor = os.dup(file.fileno())
        self._at, self._stop = part.start, part.stop

    def close(self) -> None:
        """Close what was opened for it; the file stays as it is."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _step(self) -> bytes:
        size = UNCOMPRESSED_STEP if self._stop is None else min(UNCOMPRESSED_STEP, self._stop - self._at)
        data = os.pread(self._descriptor, size, self._at)
        self._at += len(data)
        self._ended = not data
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """A file that was read once: its hash and its parts.

    Attributes
    ----------
    head
        Its beginning, as text in UTF-8.
    found
        Its format.
    """

    source: Source
    head: bytes
    found: Format
    content_id: str
    parts: tuple[Part, ...]
    survey: Surveys | None
    truncated: TruncatedInput | None
    several: str

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
            return self.source.open(text=True)
        merged = self.survey.merged(self._copy(folder), found)
        return Input(merged, self.source.name, text=True, cut=self.truncated)

    @contextmanager
    def separate(self, folder: Path | None) -> Iterator[tuple[Source, ...]]:
        """Yield each part as a file of its own. All are read from one copy, which is gone afterwards; *folder*: see ``open``."""
        if len(self.parts) == 1:
            yield (self.source,)
            return
        with self._copy(folder) as file:
            yield tuple(
                Source(
                    name=self.source.name,
                    raw=partial(_part_of, file, part),
                    cut=self.truncated if part.stop is None else None,
                )
                for part in self.parts
            )

    def _copy(self, folder: Path | None) -> BinaryIO:
        """Return the uncompressed bytes as a file that vanishes when it is closed."""
        with self.source.open() as stream:
            return filled(lambda file: _copy_to(file, stream), folder, "part")

    def _refused(self) -> InputError:
        second = self.parts[1]
        return InputError(
            f"{self.source.name}: expected one recording, found {len(self.parts)}, one after another: at line {second.line} time "
            f"falls on all CPUs, from {_seconds(second.t_from)} to {_seconds(second.t_to)}: another boot begins there, or the same "
            f"buffer was saved again; nothing was stored. {self.several}"
        )


def arrange(source: Source, formats: tuple[Format, ...], several: str = SPLIT) -> Arrangement:
    """Read a file once, and return how it is to be read.

    Parameters
    ----------
    several
        What to do if it is more than one recording.

    Raises
    ------
    InputError
        It cannot be read, or is of no format.
    """
    found, head = recognised(source, formats)
    survey = found.survey(head) if found.survey else None
    with source.open() as stream:
        content_id = stream_id(stream, survey.feed) if survey else stream_id(stream)
        truncated = stream.truncated
    parts = survey.parts() if survey else (Part(start=0),)
    return Arrangement(
        source=source, head=head, found=found, content_id=content_id, parts=parts, survey=survey, truncated=truncated,
        several=several,
    )  # fmt: skip


def _copy_to(file: BinaryIO, stream: Input) -> None:
    for block in blocks(stream):
        file.write(block)


def _part_of(file: BinaryIO, part: Part) -> BinaryIO:
    return cast(BinaryIO, _Range(file, part))  # as much of one as its reader needs


def _seconds(ts: int | None) -> str:
    return "?" if ts is None else f"{ts / 1e9:.6f} s"
