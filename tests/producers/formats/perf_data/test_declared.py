"""What a perf.data declares of its coverage: never more than its command and its attributes say, whatever events are in it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pagetrail.producers.formats.perf_data.declared import is_complete
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.batch import to_arrow
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Coverage, Gap
from tests.producers.formats.perf_data import maker as mk
from tests.producers.formats.perf_data.maker import ALLOC, FREE, ROUND, Made

COMMAND = ("/usr/bin/perf", "record", "-a", "-e", "kmem:mm_page_alloc,kmem:mm_page_free", "--", "sleep", "1")
WHOLE = Made(cmdline=COMMAND, cpus=2, read_format=4 | 16, flags=1 << 20 | 1 << 1)


def records(made: Made) -> list[bytes]:
    times = ((ALLOC, 10, 0), (FREE, 20, 0), (FREE, 30, 1), (ALLOC, 40, 1), (ALLOC, 50, 0), (FREE, 60, 1), (FREE, 70, 0))
    return [
        made.sample(kind, ts, ts, 0, *((0xCC0, 1) if kind == ALLOC else ()), cpu=cpu) for kind, ts, cpu in times
    ] + [ROUND]


def said(tmp_path: Path, data: bytes) -> list[tuple[object, ...]]:
    """Return the COVERAGE rows (time, kinds) and the GAP rows (time, from, to) of a file, in their order."""
    (tmp_path / "perf.data").write_bytes(data)
    with open_recording(tmp_path / "perf.data") as recording:
        rows = [row for batch in recording.parser.batches() for row in to_arrow(batch).to_pylist()]
    assert [row["trace_ts_nsec"] for row in rows] == sorted(row["trace_ts_nsec"] for row in rows)
    found: list[tuple[object, ...]] = []
    for row in rows:
        if row["kind"] == Kind.COVERAGE:
            coverage = Coverage.model_validate_json(row["detail"])
            assert (coverage.cpus, coverage.begins, coverage.since) == (None, True, None)
            found.append((row["trace_ts_nsec"], *coverage.kinds))
        if row["kind"] == Kind.GAP:
            gap = Gap.model_validate_json(row["detail"])
            found.append((row["trace_ts_nsec"], gap.t_lo, gap.t_hi))
    return found


def test_a_kind_is_covered_from_when_every_cpu_had_one_and_nothing_is_sure_from_when_the_first_had_its_last(
    tmp_path: Path,
) -> None:
    assert said(tmp_path, WHOLE.file(records(WHOLE))) == [(30, "free"), (40, "alloc"), (70, 40, 70)]


def test_a_cpu_without_an_event_declares_nothing(tmp_path: Path) -> None:
    alone = [WHOLE.sample(FREE, ts, ts, 0) for ts in range(10, 100, 10)]
    assert said(tmp_path, WHOLE.file(alone)) == []
    made = replace(WHOLE, cpus=3)
    assert said(tmp_path, made.file(records(made))) == []


UNSAFE = {
    "a pipe": None, "of no command": {"cmdline": ()}, "of an unknown number of CPUs": {"cpus": 0},
    "a sample of two": {"period": 2}, "a frequency": {"flags": 1 << 10}, "exclude_user": {"flags": 1 << 4},
    "exclude_kernel": {"flags": 1 << 5}, "exclude_hv": {"flags": 1 << 6}, "exclude_idle": {"flags": 1 << 7},
    "enable_on_exec": {"flags": 1 << 12}, "exclude_host": {"flags": 1 << 19}, "write_backward": {"flags": 1 << 27},
    "losses that nobody counts": {"read_format": 4}, "samples without a CPU": {"sample_type": mk.USUAL & ~mk.CPU},
}  # fmt: skip


@pytest.mark.parametrize("way", UNSAFE)
def test_what_may_have_left_events_out_declares_nothing(way: str, tmp_path: Path) -> None:
    changes = UNSAFE[way]
    made = replace(WHOLE, **(changes or {}))  # type: ignore[arg-type]  # fields of Made
    data = made.pipe(records(made)) if changes is None else made.file(records(made))
    assert said(tmp_path, data) == []


def doubled(made: Made, *, whole: int = 0) -> list[bytes]:
    """Return four allocations: the event at place *whole* (0 or 2) has a sample of each, and so has the other by its period."""
    found = []
    for number, cpu in enumerate((0, 1, 0, 1)):
        ts, values = 10 * number, (256 + number, 0, 0xCC0, 1)
        hit = [place for place in (0, 2) if place == whole or (number + 1) % made.periods.get(place, 1) == 0]
        found += [made.sample(ALLOC, ts + 1 + place, *values, cpu=cpu, place=place) for place in hit]
        found.append(made.sample(FREE, ts + 5, 256 + number, 0, cpu=cpu))
    return [*found, ROUND]


TWICE = replace(WHOLE, events=(ALLOC, FREE, ALLOC))


def test_a_tracepoint_that_was_opened_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "perf.data").write_bytes(TWICE.file(doubled(TWICE)))
    with open_recording(tmp_path / "perf.data") as recording:
        rows = [row for batch in recording.parser.batches() for row in to_arrow(batch).to_pylist()]
        account = recording.parser.account
    assert [(row["trace_ts_nsec"], row["pfn"]) for row in rows if row["kind"] == Kind.ALLOC] == [
        (1, 256), (11, 257), (21, 258), (31, 259),
    ]  # fmt: skip
    assert (account.events["kmem:mm_page_alloc"], account.ignored) == (8, {"kmem:mm_page_alloc": 4})
    assert account.notes == [
        "kmem:mm_page_alloc was recorded by 2 events: of each hit, one sample is stored (4 others are ignored)"
    ]
    assert [one[1] for one in said(tmp_path, TWICE.file(doubled(TWICE))) if isinstance(one[1], str)] == [
        "alloc",
        "free",
    ]


@pytest.mark.parametrize("place", [0, 2])
def test_of_a_tracepoint_that_one_event_did_not_take_whole_the_other_is_read_and_nothing_declared(
    place: int, tmp_path: Path
) -> None:
    made = replace(TWICE, periods={place: 2})
    data = made.file(doubled(made, whole=2 - place))
    assert [one[1] for one in said(tmp_path, data) if isinstance(one[1], str)] == ["free"]
    with open_recording(tmp_path / "perf.data") as recording:
        rows = [row for batch in recording.parser.batches() for row in to_arrow(batch).to_pylist()]
    assert [row["pfn"] for row in rows if row["kind"] == Kind.ALLOC] == [256, 257, 258, 259]


@pytest.mark.parametrize(
    "words",
    [
        "-a -e kmem:mm_page_alloc -e kmem:mm_page_free", "-ag -m 4096 -o x.data -e kmem:* -k mono -z -c 1 true",
        "--all-cpus --event=kmem:mm_page_free --call-graph fp -z3 -- sleep -p", "-ekmem:mm_page_free -aR ls --filter x",
    ],
)  # fmt: skip
def test_a_command_of_known_words_leaves_nothing_out(words: str) -> None:
    assert is_complete(("/usr/bin/perf", "record", *words.split()))


@pytest.mark.parametrize(
    "words",
    [
        "-e kmem:mm_page_free", "-a -e kmem:mm_page_free --filter order>3", "-a -e kmem:mm_page_free --exclude-perf",
        "-a -p 7", "-a -t 7", "-a -u 0", "-a -C 0", "-a --cpu=0", "-a -G group", "-a --cgroup group", "-a -c 2", "-a --count=2",
        "-a -F 99", "-a -D 100", "-a --overwrite", "-a -e kmem:mm_page_free:u", "-a -e kmem:mm_page_free/period=2/",
        "-a -e {kmem:mm_page_free,kmem:mm_page_alloc}", "-a --switch-output", "-a --threads", "-a -S", "-a -n", "-an", "-a -e",
        "-a --no-samples", "-a --off-cpu", "-a --control fifo:x", "-a --no-inherit", "-a -i", "-a --all-user", "-a --fil order>3",
        "-- -a", "sleep -a", "",
    ],
)  # fmt: skip
def test_a_command_with_any_other_word_may_leave_something_out(words: str) -> None:
    assert not is_complete(("/usr/bin/perf", "record", *words.split()))
    assert not is_complete(("/usr/bin/perf", "trace", "-a"))
