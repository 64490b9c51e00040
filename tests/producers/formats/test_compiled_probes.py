"""Laws of the probes that jit functions read: the general path, in plain Python, says the same of every line."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.formats.text.probes_jit import PROBE_ACTIONS
from pagetrail.producers.formats.text.reader import TextReader
from pagetrail.producers.meaning import RecordedKernel
from pagetrail.schemas.batch import concat, to_arrow
from pagetrail.schemas.linux import probes
from pagetrail.schemas.linux.vmemmap import VMEMMAP_BASE_L4, VMEMMAP_BASE_L5

BASES = (VMEMMAP_BASE_L4, VMEMMAP_BASE_L5, 0xFF11000000000000, 0xFFFFF00040000000)
FIELDS = {
    probes.COPY_OWNER.name: ("new", "old"),
    probes.MIGRATE_REASON.name: ("page", "reason"),
    probes.SPLIT_OWNER.name: ("page", "nr"),
    probes.SPLIT_ORDERS.name: ("page", "old_order", "new_order"),
    probes.SPLIT_PAGE.name: ("page", "order"),
    probes.ISO_OWNER.name: ("page", "order", "gfp"),
}
POINTERS = ("new", "old", "page")

pointers = st.builds(
    lambda base, pfn, rest: f"{base + 64 * pfn + rest:#x}",
    st.sampled_from(BASES), st.sampled_from((0, 1, 0x4000, 1 << 24, 1 << 26, 1 << 33)), st.sampled_from((0, 0, 0, 0, 1, 63)),
)  # fmt: skip
odd_numbers = st.sampled_from(
    ("", "0", "-1", "00", "07", "0x", "0x0", "0x1f", "0X1", "0x00000000000000002", "0x0000000002", "99999999999999999999", "1e3",
     "(null)", "18446744073709551615", "4294967296", "4503599627370496", "123456789012345678")
)  # fmt: skip
small = st.integers(0, 200).map(str) | st.sampled_from(("0x8", "0x80", "4294967295")) | odd_numbers
places = st.sampled_from(
    ("(__folio_copy_owner+0x0/0xa0)",) * 8 + ("(ffffffff812e3a10)", "()", "(a b)", "(a", "", "(x 1.000000: y)", "((x))")
)
behind = st.sampled_from(
    ("",) * 8
    + (
        " base=0xffffea0000000000",
        " base=0xffd4000000000000",
        " base=0x40000000",
        " base=0xffffea0000000040",
        " base=",
        " x=1",
    )
    + ("  ", "\t", " (123)", " order=1", " page=0x1", "\r")
)
kernels = st.builds(
    RecordedKernel,
    vmemmap_base=st.sampled_from((None, None, *BASES)),
    release=st.sampled_from((None, "5.10.0", "6.1.0", "6.5.0", "6.12.0", "6.18.0", "7.2.0")),
)


@st.composite
def payloads(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(sorted(FIELDS)))
    fields = [(field, draw((pointers | odd_numbers) if field in POINTERS else small)) for field in FIELDS[name]]
    if draw(st.integers(0, 9)) == 0:
        fields = draw(st.permutations(fields))
    if draw(st.integers(0, 9)) == 0:
        fields = fields[:-1]
    text = " ".join([draw(places), *(f"{field}={value}" for field, value in fields)])
    return f"{name}: {text}{draw(behind)}"


lines = st.lists(st.tuples(payloads(), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=12)


def ftrace(events: list[tuple[str, int, int]]) -> bytes:
    """Return events as ftrace writes them: payload, CPU, and by how much the time rises; the first one names a high page."""
    ts, text = 1, ["  a-1  [000] d.... 0.000001: mm_page_free: page=0 pfn=0x40000 order=0"]
    for payload, cpu, step in events:
        ts += step
        text.append(f"  task-7  [{cpu:03d}] d.... 0.{ts:06d}: {payload}")
    return "\n".join([*text, ""]).encode()


def perf(events: list[tuple[str, int, int]]) -> bytes:
    """Return events as perf script prints them."""
    ts, text = 1, ["a 1 [000] 0.000001: kmem:mm_page_free: page=0x40000 pfn=0x40000 order=0"]
    for payload, cpu, step in events:
        ts += step
        text.append(f"task 7 [{cpu:03d}] 0.{ts:06d}: po:{payload}\n\tffffffff8116cc53 f+0x43 ([kernel.kallsyms])\n")
    return "\n".join([*text, ""]).encode()


def told(reader: type[TextReader], text: bytes, kernel: RecordedKernel) -> tuple[Any, ...]:
    """Return all that *reader* says of *text*."""
    parser = reader(io.BytesIO(text), source="trace", kernel=kernel)
    batches = [batch for batch in parser.batches() if len(batch)]
    whole = concat(batches)
    whole.columns["seq"] = np.arange(len(whole))  # type: ignore[index]  # the dict that a reader made
    account = parser.account
    return (
        to_arrow(whole).to_pylist(), account.events, account.ignored, account.not_understood, account.examples, account.kinds,
        account.lines, account.notes, account.entries, account.further_entries, account.unread_entries,
    )  # fmt: skip


@pytest.mark.parametrize(("reader", "written"), [(FtraceText, ftrace), (PerfScript, perf)])
@given(events=lines, kernel=kernels)
def test_compiled_probes_equal_the_general_path(
    reader: type[TextReader], written: Any, events: list[tuple[str, int, int]], kernel: RecordedKernel
) -> None:
    text = written(events)
    compiled = told(reader, text, kernel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TextReader._learn.__globals__, "PROBE_ACTIONS", {})
        assert told(reader, text, kernel) == compiled


def test_probes_do_not_come_to_python_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN lines of each probe of the guide, as the kernel that has them prints it, THEN only the first of each name does."""
    page = VMEMMAP_BASE_L4 + (1 << 20)
    printed = {"reason": "2", "nr": "512", "old_order": "9", "new_order": "0", "gfp": "0x8"}
    releases = {probes.SPLIT_OWNER.name: "6.1.0", probes.SPLIT_ORDERS.name: "6.12.0", probes.SPLIT_PAGE.name: "7.2.0"}

    def refuse(self: TextReader) -> None:
        raise AssertionError(self._line().decode())

    monkeypatch.setattr(TextReader, "_event", refuse)
    for name in PROBE_ACTIONS:
        fields = " ".join(
            f"{field}={hex(page) if field in POINTERS else printed.get(field, '3')}" for field in FIELDS[name]
        )
        events = [(f"{name}: (f+0x0/0xa0) {fields}", 0, 1)] * 50
        rows = told(FtraceText, ftrace(events), RecordedKernel(release=releases.get(name, "6.1.0")))[0]
        assert len(rows) == 51
