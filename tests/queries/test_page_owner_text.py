"""The kernel's own text of page_owner."""

import io
from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.producers.formats.page_owner.dump import PageOwnerDump
from pagetrail.schemas.batch import concat
from pagetrail.schemas.columns import Kind, absent
from pagetrail.schemas.details import BaselineBegin, BaselineEnd
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames


@pytest.mark.parametrize(
    ("reason", "name"), [(0, "compaction"), (8, "demotion"), (9, "unknown (9)"), (127, "unknown (127)")]
)
def test_a_migrate_reason_is_printed_by_name_and_one_without_a_name_by_number(
    tmp_path: Path, reason: int, name: str
) -> None:
    """Linux 6.12 has a reason more than 6.1. Our own reader takes the record, and the reason as one that it does not know."""
    m = Machine()
    m.begin()
    m.emit(Kind.BASELINE_BEGIN, BaselineBegin(name="dump", window_begin=m.ts, window_end=m.ts, entries=1))
    m.emit(
        Kind.BASELINE_ENTRY, pfn=5, order=0, gfp_mask=0xCC0, pid=7, tgid=7, comm="sh", ts_nsec=9, migrate_reason=reason
    )
    m.emit(Kind.BASELINE_END, BaselineEnd(name="dump", entries=1))
    m.end()
    trail = trail_of(tmp_path / "trail", to_frames(m.recordings))
    replay(trail)
    text = api.open(trail).page_owner_text("-0s")
    assert f"\nPage has been migrated, last migrate reason: {name}\n" in text
    dump = PageOwnerDump(io.BytesIO(text.encode()), source="dump")
    read = concat(list(dump.batches()))
    assert dump.account.not_understood == 0
    expected = reason if reason <= 8 else absent("migrate_reason")
    assert (read.column("pfn").tolist(), read.column("migrate_reason").tolist()) == ([5], [expected])
