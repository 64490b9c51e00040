"""Facts are saved as the text that they always were, come back, and are refused where no stream can have them."""

import json
from typing import Any

import pytest

from pagetrail.replay.facts.digest import fields_of, plain, text_of
from pagetrail.replay.facts.facts import Facts, OpenRange
from pagetrail.replay.facts.hotplug import Extension, HotplugCall
from pagetrail.replay.facts.recording import StreamRecording
from pagetrail.replay.store.reading.lies import LIES
from pagetrail.replay.store.saved_facts import facts_of
from pagetrail.schemas.details import Boot, Clock, Gap, RecordingEnd
from pagetrail.schemas.owner import OPEN_END

CALLS = 5_000


def facts() -> Facts:
    found = Facts(
        boots=[(1, Boot(section_size_bits=27))], pages_per_section=1 << 15, client_ts=[-(1 << 63)], clients=["owner"]
    )
    found.hotplug = [
        HotplugCall(seq=n, ts=n, call="online_pages", phase="entry", pfn=None, nr_pages=8, ret=None, pid=n)
        for n in range(CALLS)
    ]
    found.sections = [Extension(section_nr=3, generation=1, begin_seq=1, begin_ts=1, how="boot")]
    found.recordings = [StreamRecording(recording="r", base_seq=0)]
    found.clocks = [(1, Clock(ts_nsec=5))]
    found.markers = [(1, 2, "9" * 40)]
    found.lose(4, 5, None, Gap(t_lo=1, t_hi=2, reason="a test"))
    for pid in (7, None, 5):
        found.open_ranges[pid] = OpenRange(pfn=0, nr_pages=8, seq=1, ts=1, gfp_mask=None, pid=pid, first=0, stop=8)
    return found


def test_facts_come_back_from_their_text_which_is_that_of_all_at_once() -> None:
    text = text_of(facts())
    assert text == json.dumps(plain(fields_of(facts())))
    assert facts_of(text) == facts()
    assert [*facts_of(text).open_ranges] == [7, None, 5]


def test_a_text_of_a_user_may_have_any_number_of_digits_and_names_of_fields_may_be_a_users() -> None:
    said = facts()
    said.markers = [(1, 2, "7" * 5_000)]
    fields = {name: 1 for kind in (HotplugCall, Extension) for name in kind.__dataclass_fields__}
    for kind in (HotplugCall, Extension):
        same = {name: fields[name] for name in kind.__dataclass_fields__}
        said.accounts.append(("r", RecordingEnd(events=same, ignored=same)))
    assert facts_of(text_of(said)) == said


ODD: dict[str, Any] = {
    "pages_per_section": (0, -8, 3, 1 << 60, "x", None), "hotplug": ([1], [{"seq": 1}]), "gap_ts": (["x"], [1 << 63]),
    "lost_until": (1e300, 1 << 70, "x"), "events": ({"alloc": 1 << 80}, []), "markers": ([[1, "x", "m"]], [[1, 2, 3]]),
    "clocks": ([[1, {"ts_nsec": 1 << 64}]], [[None]]), "sections": ([[]], 5), "recordings": ([{"recording": 1, "base_seq": 0}],),
    "client_ts": ([-(1 << 63) - 1],), "open_ranges": ([{"pid": 1}],),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_facts_that_no_stream_can_have_are_refused(name: str, value: object) -> None:
    saved = json.loads(text_of(facts())) | {name: value}
    with pytest.raises(LIES):
        facts_of(json.dumps(saved))


@pytest.mark.parametrize(
    ("field", "value"), [("section_nr", 1 << 40), ("section_nr", -1), ("end_ts", OPEN_END + 1), ("how", 1)]
)
def test_a_section_that_no_machine_has_is_refused(field: str, value: object) -> None:
    saved = json.loads(text_of(facts()))
    saved["sections"][0][field] = value
    with pytest.raises((ValueError, TypeError)):
        facts_of(json.dumps(saved))


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "NaN", '{"boots": Infinity}', '"x"'])
def test_what_is_no_text_of_facts_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, RecursionError)):
        facts_of(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [("gaps", 5), ("gaps", [[]]), ("hotplug", -1), ("missing", [["x", 1]]), ("coverage", {"a": 1}), ("audited", [1])],
)
def test_what_cannot_be_carried_over_is_refused(field: str, value: object) -> None:
    saved = json.loads(text_of(facts()))
    saved["earlier"][field] = value
    with pytest.raises(LIES):
        facts_of(json.dumps(saved))
