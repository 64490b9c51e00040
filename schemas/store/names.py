"""The names of the store's files, and the order of a stream's files.

::

    hosts/HOST/BOOT_ID/FOLD/FIRST-LAST.duckdb    a sealed segment of a stream: its first and last stream_seq
    hosts/HOST/BOOT_ID/FOLD/TIP-LAST.duckdb      a tip: the open stretch after the last segment, up to that stream_seq
    hosts/HOST/BOOT_ID/FOLD/begins.json          where the chain begins, if its first segments were given up
    cuts/FOLD/LOG/PARTITION.cut.json             how far a fold has come in a partition of a log: see replay.store.cut

HOST, BOOT_ID and LOG are written by ``path_part``. No name is read back: a file says in its table ``meta`` whose it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pagetrail.schemas.linux.page_ext import DEBUG, OWNER, PAGE_TABLE_CHECK
from pagetrail.schemas.store.path_parts import path_part
from pagetrail.schemas.store.tables import FOLD_VERSION

STORES_DIRECTORY: Final = "segments"
"""Folder of a trail's stores: one for each format, and beside them the hosts of a store of a format before 5."""

HOSTS: Final = "hosts"
"""The folder of all streams: nothing else is in it, so that no host's name means anything."""

CUTS: Final = "cuts"
"""The folder of the cuts."""

_SEGMENT = re.compile(r"(\d{19})-(\d{19})\.duckdb")
_TIP = re.compile(r"TIP-(\d{19})\.duckdb")
_STREAM_PARTS: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class StoreFile:
    """A sealed segment, or a tip: its first and last stream_seq, and its name in the store."""

    first_seq: int
    last_seq: int
    tip: bool
    name: str

    @property
    def stem(self) -> str:
        """The last part of its name, without the suffix."""
        return self.name.rpartition("/")[2].removesuffix(".duckdb")


FOLD_CLIENTS: Final = (OWNER, PAGE_TABLE_CHECK, DEBUG)
"""The clients of page_ext that belong to the folds of this version: see replay/rules/clients."""


FOLD_PREFIX: Final = "fold"
"""What a fold's name begins with; its version follows."""

RULES: Final = "-rules-"
"""In a fold's name: before the name of the rules that an option chose."""


def fold_name(
    *, correct: bool, clients: Sequence[str] = FOLD_CLIENTS, rules: str | None = None, version: int = FOLD_VERSION
) -> str:
    """Return the folder of a fold: its version and options, with each client that it adds to those of its version, or lacks.

    So a new client makes new segments beside the old ones, and an old log is replayed from its beginning to fill them. *rules* is
    the name of the kernel's rules where an option chose them; null: they follow from the recorded release, and are in no name.
    """
    more = [f"+{name}" for name in clients if name not in FOLD_CLIENTS]
    less = [f"-without-{name}" for name in FOLD_CLIENTS if name not in clients]
    chosen = "" if rules is None else f"{RULES}{rules}"
    return f"{FOLD_PREFIX}{version}" + "".join([*more, *less]) + ("" if correct else "-no-correct") + chosen


def is_of_version(fold: str, version: int = FOLD_VERSION) -> bool:
    """Return whether a *fold* has a version's rules, by its name."""
    return re.fullmatch(rf"{FOLD_PREFIX}{version}([-+].*)?", fold) is not None


def stream_name(host: str, boot_id: str, fold: str) -> str:
    """Return the folder of the files of one stream and fold."""
    return f"{HOSTS}/{path_part(host)}/{path_part(boot_id)}/{fold}"


def is_called(stream: str, wanted: str) -> bool:
    """Return whether *wanted* names the stream of a folder, or its host: HOST[/BOOT_ID]. Both may have a slash."""
    _, *there, _ = stream.split("/")
    parts = wanted.split("/")
    both = ([path_part("/".join(parts[:i])), path_part("/".join(parts[i:]))] for i in range(1, len(parts)))
    return there[:1] == [path_part(wanted)] or there in both


def is_of_stream(name: str) -> bool:
    """Return whether a name is that of a stream's file."""
    return name.startswith(f"{HOSTS}/")


def mismatch(name: str, meta: Mapping[str, str]) -> str | None:
    """Return how the file of a stream, which says *meta* of itself, is not what its name says; null: it is.

    So a file that was copied, renamed or swapped is noticed, and two hosts would be told apart if their folders had one name.
    """
    last_seq = int(meta["last_seq"])
    stem = tip_stem(last_seq) if meta["tip"] == "1" else segment_stem(int(meta["first_seq"]), last_seq)
    found = f"{stream_name(meta['host'], meta['boot_id'], meta['fold'])}/{stem}.duckdb"
    return None if found == name else f"what belongs at {found}"


def fold_of(stream: str) -> str:
    """Return the fold of a stream's folder."""
    return stream.rpartition("/")[2]


def segment_name(stream: str, first_seq: int, last_seq: int) -> str:
    """Return the name of the segment of [first_seq, last_seq]."""
    return f"{stream}/{segment_stem(first_seq, last_seq)}.duckdb"


def segment_stem(first_seq: int, last_seq: int) -> str:
    """Return the last part of the name of the segment of [first_seq, last_seq], without the suffix: ``StoreFile.stem``."""
    return f"{first_seq:019d}-{last_seq:019d}"


def tip_name(stream: str, last_seq: int) -> str:
    """Return the name of the tip that reaches to *last_seq*."""
    return f"{stream}/{tip_stem(last_seq)}.duckdb"


def tip_stem(last_seq: int) -> str:
    """Return the last part of the name of the tip that reaches to *last_seq*, without the suffix."""
    return f"TIP-{last_seq:019d}"


def beginning_name(stream: str) -> str:
    """Return the name of the file that says where the chain begins, if its first segments were given up."""
    return f"{stream}/begins.json"


def parsed(name: str) -> StoreFile | None:
    """Return the segment or tip of a name; null: it is neither. A tip's has no first_seq: it begins after the last segment."""
    last = name.rpartition("/")[2]
    if (match := _SEGMENT.fullmatch(last)) and match[1] <= match[2]:
        return StoreFile(int(match[1]), int(match[2]), False, name)
    if match := _TIP.fullmatch(last):
        return StoreFile(0, int(match[1]), True, name)
    return None


def streams_among(names: Iterable[str]) -> list[str]:
    """Return the folders of the streams that have files among *names*, by host, boot and fold."""
    found = {name.rpartition("/")[0] for name in names if parsed(name) is not None}
    split = (stream.split("/") for stream in found)
    return ["/".join(parts) for parts in sorted(split) if len(parts) == _STREAM_PARTS and parts[0] == HOSTS]


def no_folders(names: Iterable[str]) -> list[str]:
    """Return those *names* that are files, links or something else in the place of the folder of a host, boot or fold."""
    return [name for name in names if name.startswith(f"{HOSTS}/") and name.count("/") < _STREAM_PARTS]


def is_folds(name: str) -> bool:
    """Return whether a name stands where the folder of a fold does: below a host and a boot."""
    return name.startswith(f"{HOSTS}/") and name.count("/") == _STREAM_PARTS - 1


def chain(names: Iterable[str]) -> list[StoreFile]:
    """Return the segments among a stream's files, in order, and after them its tip, if one reaches beyond them."""
    files = [file for name in names if (file := parsed(name)) is not None]
    segments = sorted(file for file in files if not file.tip)
    sealed = segments[-1].last_seq if segments else -1
    newest = max((file for file in files if file.tip), key=lambda tip: tip.last_seq, default=None)
    if newest is not None and newest.last_seq > sealed:
        segments.append(StoreFile(sealed + 1, newest.last_seq, True, newest.name))
    return segments


def overtaken(names: Iterable[str]) -> list[str]:
    """Return the tips among a stream's files that a segment or a newer tip has replaced."""
    names = list(names)
    files = chain(names)
    if not files:
        return []
    kept = files[-1].last_seq + (0 if files[-1].tip else 1)
    return [file.name for name in names if (file := parsed(name)) and file.tip and file.last_seq < kept]
