"""The values that page_ext's clients hold for each page, beside owners: fed by events, kept by section, sealed with segments.

Every event on a page begins a span, also when it repeats the known value: the span gives the last event that reported it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.fold.decode import Events
from pagetrail.replay.fold.tables import Array, Tables, grown
from pagetrail.replay.fold.value_jit import FieldEvents, Values, end_section, set_values
from pagetrail.replay.rules.clients.client import UNKNOWN, Client
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from pagetrail.schemas.owner import ABSENT8, OPEN_END, VALUE_DTYPE, Evidence

_CLOSED: Final = 1 << 12
_HELD: Final = ("value", "begin_seq", "begin_ts", "evidence")
"""What is held of each page and field."""


class PageValues:
    """The needed clients of one stream, and their values.

    Attributes
    ----------
    needed
        Clients that were needed at some time, in the order of page_ext_ops.
    fields
        ``client.field`` for each field that is held; ``VALUE_DTYPE``'s field is an index into it.
    arrays
        The values. Those of slots that no section ever had are not written, and take no memory.
    """

    def __init__(self, clients: Sequence[Client], pages_per_section: int) -> None:
        self._clients = tuple(clients)
        self.needed: tuple[Client, ...] = ()
        self.fields: list[str] = []
        self._slots = 0
        self.arrays = _nothing(pages_per_section)
        self.need(None, 0)

    def need(self, boot: Boot | None, slots: int) -> None:
        """Ask every client whether it is needed; one that was needed once is kept (invoke_need_callbacks)."""
        new = [c for c in self._clients if c not in self.needed and c.need(boot)]
        self.needed += tuple(new)
        self.fields += [f"{client.name}.{field}" for client in new for field in client.fields]
        self._grow(slots)

    def set_section_size(self, pages: int) -> None:
        """Start anew with sections of another size, before any exists."""
        self.arrays = _nothing(pages)
        self._grow(0)

    @property
    def bytes_a_page(self) -> int:
        """Bytes that the values of a page take."""
        return len(self.fields) * sum(int(getattr(self.arrays, name).itemsize) for name in _HELD)

    @property
    def nbytes(self) -> int:
        """Bytes of the values of slots that a section has or had, and of the spans that ended."""
        ended = int(self.arrays.counts[0]) * int(self.arrays.closed.itemsize)
        return self._slots * int(self.arrays.value.shape[2]) * self.bytes_a_page + ended

    # -- sections --------------------------------------------------------------------------------------------------------

    def allocated(self, tables: Tables, section_nr: int, seq: int, ts: int, *, fresh: bool) -> None:
        """Set the values of a section's new extension: those of init if its allocation was seen (*fresh*), else unknown."""
        slot = int(tables.slot[section_nr])
        self._grow(tables.owner.shape[0])
        self._slots = max(self._slots, slot + 1)
        self.arrays.value[:, slot] = UNKNOWN
        if not fresh:
            return
        for index, client in enumerate(self._holders()):
            if (value := client.init()) != UNKNOWN:
                self.arrays.value[index, slot] = value
                self.arrays.begin_seq[index, slot], self.arrays.begin_ts[index, slot] = seq, ts
                self.arrays.evidence[index, slot] = Evidence.INFERRED

    def freed(self, tables: Tables, section_nr: int, seq: int, ts: int) -> None:
        """End all values of a section whose extension ends; call it while the section still has its slot."""
        slot, generation = int(tables.slot[section_nr]), int(tables.generation[section_nr])
        if self.fields and slot >= 0:
            pages = tables.owner.shape[1]
            self._room(len(self.fields) * pages)
            end_section(self.arrays, slot, section_nr * pages, generation, seq, ts)

    def known_of(self, slot: int) -> bool:
        """Whether any value of a section's pages is known."""
        return bool(self.fields) and bool((self.arrays.value[:, slot] != UNKNOWN).any())

    # -- events ----------------------------------------------------------------------------------------------------------

    def feed(self, e: Events, start: int, stop: int, base_seq: int, tables: Tables, max_pfn: int) -> None:
        """Pass events [start, stop), within which no extension ends, to the clients; only ``arrays`` change."""
        first = 0
        for client in self.needed if self.fields else ():
            if client.fields:
                kinds = [int(kind) for kind in client.kinds]
                rows = start + np.flatnonzero(np.isin(e.kind[start:stop], kinds))
                if rows.size:
                    self._set(client, first, Events(*(column[rows] for column in e)), base_seq, tables, max_pfn)
                first += len(client.fields)

    def _set(self, client: Client, first: int, e: Events, base_seq: int, tables: Tables, max_pfn: int) -> None:
        order, nr_pages = extents(e, tables.owner.shape[1])
        values = client.says(e)
        field = np.where(values.field < 0, -1, values.field + first).astype(np.int16)
        events = FieldEvents(
            pfn=e.pfn, order=order, nr_pages=nr_pages, field=field, value=np.require(values.value, np.int64, ["C", "W"]),
            seq=e.seq + base_seq, ts=e.ts,
        )  # fmt: skip
        done = 0
        while done < e.kind.size:
            done = set_values(self.arrays, tables.slot, tables.generation, max_pfn, events, done)
            if done < e.kind.size:
                self._room(int(nr_pages[done]))

    # -- segments --------------------------------------------------------------------------------------------------------

    def begin_segment(self) -> None:
        """Drop the ended spans: they are sealed."""
        self.arrays.counts[0] = 0

    def closed(self) -> NDArray[np.void]:
        """Return the spans that ended in this stretch: VALUE_DTYPE."""
        return np.asarray(self.arrays.closed[: self.arrays.counts[0]])

    def live(self, tables: Tables) -> NDArray[np.void]:
        """Return the open spans, VALUE_DTYPE, by field and pfn. Adjacent pages of a section with equal value and begin are one."""
        there = np.flatnonzero(tables.slot >= 0).tolist()
        spans = [self._live(tables, field, section_nr) for field in range(len(self.fields)) for section_nr in there]
        return np.concatenate([np.zeros(0, VALUE_DTYPE), *spans])

    def _live(self, tables: Tables, field: int, section_nr: int) -> NDArray[np.void]:
        slot = int(tables.slot[section_nr])
        value, begin = self.arrays.value[field, slot], self.arrays.begin_seq[field, slot]
        changes = (value[1:] != value[:-1]) | (begin[1:] != begin[:-1])
        starts = np.flatnonzero(np.concatenate(([True], changes)))
        known = value[starts] != UNKNOWN
        rows = np.zeros(int(known.sum()), VALUE_DTYPE)
        at = starts[known]
        rows["pfn"], rows["nr_pages"] = at + section_nr * value.size, np.diff(np.append(starts, value.size))[known]
        rows["value"], rows["begin_seq"] = value[at], begin[at]
        rows["begin_ts"], rows["evidence"] = (
            self.arrays.begin_ts[field, slot][at],
            self.arrays.evidence[field, slot][at],
        )
        rows["end_seq"] = rows["end_ts"] = OPEN_END
        rows["generation"], rows["field"] = tables.generation[section_nr], field
        return rows

    def restore(self, tables: Tables, needed: Iterable[str], rows: NDArray[np.void]) -> None:
        """Restore the *needed* clients, and the spans of a segment or tip: VALUE_DTYPE, ended ones too."""
        by_name = {client.name: client for client in self._clients}
        self.needed = tuple(by_name[name] for name in needed if name in by_name)
        self.fields = [f"{client.name}.{field}" for client in self.needed for field in client.fields]
        self._slots = int(tables.slot.max(initial=-1)) + 1
        self.set_section_size(tables.owner.shape[1])
        self._grow(tables.owner.shape[0])
        open_rows = rows[rows["end_seq"] == OPEN_END]
        for row in open_rows:
            section_nr, first = divmod(int(row["pfn"]), tables.owner.shape[1])
            where = (int(row["field"]), int(tables.slot[section_nr]), slice(first, first + int(row["nr_pages"])))
            for name in _HELD:
                getattr(self.arrays, name)[where] = row[name]
        ended = rows[rows["end_seq"] != OPEN_END]
        self.arrays = self.arrays._replace(closed=np.concatenate([ended, self.arrays.closed]))
        self.arrays.counts[0] = ended.size

    # -- arrays ----------------------------------------------------------------------------------------------------------

    def _holders(self) -> list[Client]:
        """Return the client of each field."""
        return [client for client in self.needed for _ in client.fields]

    def _grow(self, slots: int) -> None:
        """Make room for *slots* slots and all fields."""
        fields, known, pages = self.arrays.value.shape
        shape = (len(self.fields), max(slots, known), pages)
        if shape == (fields, known, pages):
            return
        used = self._slots
        for name in _HELD:  # one by one: each old array leaves memory before the next one is copied
            array = np.zeros(shape, getattr(self.arrays, name).dtype)
            if name == "value":
                array[:, :used] = UNKNOWN
            if known:
                array[:fields, :used] = getattr(self.arrays, name)[:, :used]
            self.arrays = self.arrays._replace(**{name: array})

    def _room(self, spans: int) -> None:
        self.arrays = self.arrays._replace(closed=grown(self.arrays.closed, int(self.arrays.counts[0]) + spans))


def extents(e: Events, pages_per_section: int) -> tuple[Array, Array]:
    """Return order and number of pages of each event, as ``fold`` reads them: (n,) int64 each."""
    order = e.order.astype(np.int64)
    nr_pages = np.where((order >= 0) & (order < 40), np.int64(1) << np.clip(order, 0, 40), 0)
    split, migrate = e.kind == Kind.SPLIT, e.kind == Kind.MIGRATE
    ranges = (e.kind >= Kind.POISON) & (order == ABSENT8)
    order = np.where(split & ~((nr_pages > 0) & (nr_pages <= pages_per_section)), -1, order)
    order = np.where(migrate | ranges, 0, order)
    nr_pages = np.where(split | ranges, e.nr_pages, np.where(migrate, 1, nr_pages))
    return order, nr_pages


def _nothing(pages_per_section: int) -> Values:
    shape = (0, 0, pages_per_section)
    return Values(
        value=np.zeros(shape, np.int64), begin_seq=np.zeros(shape, np.int64), begin_ts=np.zeros(shape, np.int64),
        evidence=np.zeros(shape, np.int8), closed=np.zeros(_CLOSED, VALUE_DTYPE), counts=np.zeros(1, np.int64),
    )  # fmt: skip
