"""One boot has one kernel: what names another one is refused, and what names none has the rules of the others."""

from pathlib import Path

import pytest

from pagetrail import api
from pagetrail.queries.core.opening import open_streams
from pagetrail.queries.questions.doctor import findings
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.commands.cli import run
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames

LINE = "   a-1  [000] ..... {second}.000000: mm_page_alloc: page=0x0 pfn={pfn:#x} order=0 migratetype=1 gfp_flags=GFP_KERNEL\n"
OTHER_RULES = "recordings that name no release were folded by the rules of linux-6.1, and the kernel is another"


def recordings(*releases: str | None) -> Machine:
    """Return recordings of one boot, one after another, that name these kernels."""
    m = Machine()
    for nr, release in enumerate(releases):
        m.ts = 1_000 * (nr + 1)
        m.begin(release=release)
        m.emit(Kind.ALLOC, pfn=nr, order=0, gfp_mask=0, pid=1)
        m.end()
    return m


@pytest.mark.parametrize(
    ("releases", "why"),
    [
        (
            ("6.1.192", "6.12.117"),
            "it names Linux 6.12.117, and earlier recordings of the same boot name Linux 6.1.192",
        ),
        (
            ("6.1.192", None, "6.1.7"),
            "it names Linux 6.1.7, and earlier recordings of the same boot name Linux 6.1.192",
        ),
        (
            (None, "6.12.117", "6.1.7"),
            "it names Linux 6.1.7, and earlier recordings of the same boot name Linux 6.12.117",
        ),
    ],
)
def test_a_recording_of_another_kernel_is_refused_and_streams_and_doctor_say_why(
    tmp_path: Path, releases: tuple[str | None, ...], why: str
) -> None:
    trail = trail_of(tmp_path / "trail", to_frames(recordings(*releases).recordings, [3]))
    refused = ("host", "boot", f"recording {len(releases) - 1}")
    for _ in range(2):  # and a resume refuses it again
        report, _ = replay(trail)
        assert list(report.refused) == [refused]
    assert why in report.refused[refused]
    (stream,) = open_streams(trail).opened
    assert len(stream.facts.recordings) == len(releases) - 1
    assert [why in finding.detail for finding in findings(stream) if finding.what == "recordings"] == [True]
    assert why in api.open(trail).streams()["refused"][0].as_py()[0]
    assert "refused: recording" in run("streams", "--trail", trail).out


@pytest.mark.parametrize(
    ("releases", "rules"),
    [
        (("6.12.117", None), "linux-6.12"),
        ((None, None), "linux-6.1"),
        ((None, "6.1.192"), "linux-6.1"),
        (("6.12.117", "6.12.117"), "linux-6.12"),
    ],
)
def test_a_recording_that_names_no_kernel_has_the_rules_of_the_others(
    tmp_path: Path, releases: tuple[str | None, ...], rules: str
) -> None:
    trail = trail_of(tmp_path / "trail", to_frames(recordings(*releases).recordings, [3]))
    report, _ = replay(trail)
    assert report.refused == {}
    (stream,) = open_streams(trail).opened
    assert (stream.facts.rules.name, len(stream.facts.recordings)) == (rules, 2)


def traced(folder: Path, second: int) -> Path:
    path = folder / f"{second}.txt"
    path.write_text(LINE.format(second=second, pfn=second))
    return path


def test_ingest_refuses_a_recording_of_another_kernel_and_stores_nothing_of_it(tmp_path: Path) -> None:
    trail, common = tmp_path / "trail", {"host": "h", "boot_id": "b"}
    first = api.ingest(trail, traced(tmp_path, 1), kernel_release="6.12.117", **common)
    api.ingest(trail, traced(tmp_path, 2), **common)
    with pytest.raises(InputError, match=r"it names Linux 6\.1\.9, and earlier recordings"):
        api.ingest(trail, traced(tmp_path, 3), kernel_release="6.1.9", **common)
    again = api.ingest(trail, traced(tmp_path, 1), kernel_release="6.12.117", **common)
    assert (again.duplicates, again.frames) == (first.frames, first.frames)
    assert api.replay(trail).refused == {}
    assert api.open(trail).streams()["recordings"].to_pylist() == [2]
    refused = run(
        "ingest", traced(tmp_path, 3), "--kernel-release", "6.1.9", "--host", "h", "--boot-id", "b", "--trail", trail
    )
    assert (refused.code, "one boot has one kernel" in refused.err) == (2, True)


@pytest.mark.parametrize(("release", "lost"), [("6.12.117", 1), ("6.1.192", 0)])
def test_what_was_folded_by_other_rules_before_the_kernel_was_named_is_not_certain(
    tmp_path: Path, release: str, lost: int
) -> None:
    trail, common = tmp_path / "trail", {"host": "h", "boot_id": "b"}
    api.ingest(trail, traced(tmp_path, 1), covers=("alloc", "free"), **common)
    api.ingest(trail, traced(tmp_path, 2), covers=("alloc", "free"), kernel_release=release, **common)
    api.replay(trail)
    (stream,) = open_streams(trail).opened
    found = [(gap.t_lo, gap.t_hi) for _, _, gap in stream.history.gaps if gap.reason == OTHER_RULES]
    assert found == [(1_000_000_000, 2_000_000_000)] * lost
