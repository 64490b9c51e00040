"""Compile the jit functions of replay ahead of time: ``python -m pagetrail.replay.run.warm``.

Otherwise the first replay after an installation spends its first ten seconds on that. The compiled code is cached on disk.
"""

import numpy as np

from pagetrail.replay.fold.block_jit import stamp_range
from pagetrail.replay.fold.decode import Events, no_events
from pagetrail.replay.fold.fold_jit import fold
from pagetrail.replay.fold.notice_jit import doubt, doubt_each, doubt_moves, doubt_on, keep_doubt, mark_nameable, note
from pagetrail.replay.fold.options import OPTIONS
from pagetrail.replay.fold.records.event_jit import begin, mark_used, renumber, settle
from pagetrail.replay.fold.section_jit import apply_baseline, apply_split, close_section, place_runs
from pagetrail.replay.fold.tables import new_tables, run_columns
from pagetrail.replay.fold.tables import no_events as no_event_rows
from pagetrail.replay.fold.unique_rows_jit import rehash
from pagetrail.replay.fold.value_jit import FieldEvents, Values, end_section, set_values
from pagetrail.replay.rules.page_owner_baseline import Entries, no_entries
from pagetrail.replay.store.packed.radix_jit import order_of, runs_by_page
from pagetrail.replay.store.packed.sums_jit import OF_EVENT_DTYPE, add_runs, hash_events
from pagetrail.schemas.owner import ENDED_RUN_DTYPE, VALUE_DTYPE


def compile_jit_functions() -> None:
    """Call each jit function once on empty arrays, with the types that a replay uses."""
    tables = new_tables(1)
    events: Events = no_events()
    entries: Entries = no_entries()
    options, none = np.zeros(OPTIONS, np.int64), np.zeros(0, np.int64)
    fold(tables, options, events, 0, 0, np.zeros(1, np.int64))
    apply_baseline(tables, options, entries, np.zeros(0, np.int8), np.zeros(0, np.bool_), 0, 0, 0, 0, 0)
    note(tables, 1, 0, 0)
    doubt(tables, 0, 0, 0, 0, 0, 0)
    doubt_on(tables, 0, 0, 0, 0, 0, 0)
    doubt_each(tables, none, none, none, 0, 0, 0)
    keep_doubt(tables, 0, 0, 0)
    doubt_moves(tables, 0, 0, 0, 0, 0)
    tables = tables._replace(owner=np.full((1, 1), -1, np.int32), kernel=np.full((1, 1), -1, np.int32))
    close_section(tables, 0, 0, 0, 0)
    apply_split(tables, 0, 0, 0, 0, 0, 0, 0, 0)
    stamp_range(tables, options, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    place_runs(tables, none, none, np.zeros(0, np.int8), np.zeros(0, np.int32))
    begin(tables)
    settle(tables, 0, 0)
    mark_used(tables, *(np.zeros(0, np.int8) for _ in range(4)))
    renumber(tables, *(np.zeros(0, np.int32) for _ in range(3)))
    rehash(tables.acts, 0, tables.act_table)
    mark_nameable(none, none, none, none, np.zeros((3, 0), np.int64), np.zeros(0, np.bool_))
    _compile_packing()
    longs = np.zeros((1, 1, 1), np.int64)
    values = Values(longs, longs, longs, np.zeros((1, 1, 1), np.int8), np.zeros(1, VALUE_DTYPE), np.zeros(1, np.int64))
    changes = FieldEvents(none, none, none, np.zeros(0, np.int16), none, none, none)
    set_values(values, tables.slot, tables.generation, 0, changes, 0)
    end_section(values, 0, 0, 0, 1, 0)


def _compile_packing() -> None:
    runs, events = np.zeros(2, ENDED_RUN_DTYPE), no_event_rows(1)
    runs["pfn"] = 0, 1  # equal ones need no sorting
    runs_by_page(runs, order_of(runs["pfn"]), run_columns(2))
    numbers, hashes, of_event = np.zeros(1, np.int64), np.zeros(6, np.uint64), np.zeros(1, OF_EVENT_DTYPE)
    hash_events(events, 0, hashes, hashes, hashes, numbers, numbers, numbers, hashes, of_event)
    add_runs(runs, events, 0, of_event, numbers, hashes, hashes, np.zeros(2, np.uint64))


if __name__ == "__main__":
    compile_jit_functions()
