"""Laws of the forms of perf script: whatever -F leaves out, -L, records of no CPU, chains, headers."""

import pytest

from pagetrail.producers.formats.text.perf_script import PERF_SCRIPT
from pagetrail.producers.recordings import open_recording
from pagetrail.schemas.columns import Kind
from pagetrail.schemas.errors import InputError
from tests.oracles.text.reading import rows_of
from tests.producers.formats.forms.samples import BLOCK, CHAIN, PERF_ALLOC, PERF_TASK, opened, rows

# --- perf script


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ("            appd   500 [001]    22.498450:          1 ", {"cpu", "pid", "comm"}),
        ("            appd   500 [001]    22.498450: ", {"cpu", "pid", "comm"}),
        ("   400/500     [001]    22.498450: ", {"cpu", "pid"}),
        ("4194304/500 [001]    22.498450: ", {"cpu", "pid"}),
        ("            appd [001]    22.498450: ", {"cpu", "comm"}),
        ("            appd    22.498450: ", {"comm"}),
        ("    22.498450: ", set()),
        ("            appd   500 [001] K         22.498450: ", {"cpu", "pid", "comm"}),
        ("            appd   500 [001] 2024-01-01 00:00:00.498450    22.498450: ", {"cpu", "pid", "comm"}),
    ],
)
@pytest.mark.parametrize("name", ["kmem:mm_page_alloc", "mm_page_alloc", "kmem:mm_page_alloc:k"])
def test_a_sample_is_read_whatever_f_leaves_out(head: str, known: set[str], name: str) -> None:
    (row,) = rows(head + PERF_ALLOC.replace("kmem:mm_page_alloc", name) + "\n")
    row.pop("tgid", None)
    assert row == BLOCK | {key: PERF_TASK[key] for key in ("trace_ts_nsec", *known)}


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ("    appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
        ("    appd     400/500       1     22.498450:          1 ", {"cpu", "pid", "comm"}),
        ("appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
        ("    500   1     22.498450: ", {"cpu", "pid"}),
        ("    appd   1     22.498450: ", {"cpu", "comm"}),
        ("  1     22.498450: ", {"cpu"}),
        ("appd 500 1 22.498450: ", set()),
        ("500 1 22.498450: ", set()),
        ("            appd 500   1     22.498450: ", set()),
        ("> appd     500   1     22.498450: ", {"cpu", "pid", "comm"}),
    ],
)
def test_the_cpu_of_perf_script_l_has_no_brackets_and_is_no_thread(head: str, known: set[str]) -> None:
    (row,) = rows(f"{head}{PERF_ALLOC}\n")
    row.pop("tgid", None)
    assert row == BLOCK | {key: PERF_TASK[key] for key in ("trace_ts_nsec", *known)}


def test_a_task_whose_name_ends_in_a_number_keeps_its_thread() -> None:
    (row,) = rows(f"        Worker 1     500    22.498450: {PERF_ALLOC}\n")
    assert (row["comm"], row["pid"]) == ("Worker 1", 500)


@pytest.mark.parametrize(
    "name",
    [
        "page-faults",
        "cpu-clock:pppH",
        "cpu-migrations",
        "L1-dcache-load-misses:u",
        "cpu/event=0x3c,umask=0x1/",
        "cpu_core/cycles/P",
    ],
)
def test_perfs_own_events_say_nothing_of_pages(name: str) -> None:
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n"
    other = f"            appd   500 [001]    22.498451:     250000 {name}: \n\tffffffff81000000 f+0x1 ([kernel.kallsyms])\n\n"
    parser = opened(sample + other)
    assert [row["kind"] for row in rows_of(parser.batches())] == [Kind.ALLOC]
    assert (parser.account.not_understood, parser.account.ignored[name]) == (0, 1)


def test_a_record_that_perf_made_of_no_cpu_is_a_record() -> None:
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n"
    parser = opened(f"            perf     0 [-01]     0.000000: PERF_RECORD_FINISHED_INIT\n{sample}")
    assert [row["kind"] for row in rows_of(parser.batches())] == [Kind.ALLOC]
    assert parser.account.ignored == {"PERF_RECORD_FINISHED_INIT": 1}


@pytest.mark.parametrize("head", ["            appd   500 [001] ", "", "            appd "])
def test_samples_without_a_time_are_refused_with_what_to_do(head: str) -> None:
    with pytest.raises(InputError, match=r"no time: .*-F \+time"):
        opened(f"{head}{PERF_ALLOC}\n" * 3)


@pytest.mark.parametrize("head", ["            appd   500 [001]    22.498450: ", "    22.498450123:          1 "])
def test_samples_without_the_event_are_refused_with_what_to_do(head: str) -> None:
    with pytest.raises(InputError, match=r"allocated or freed is not said: .*-F \+event"):
        opened(f"{head}{PERF_ALLOC.partition(': ')[2]}\n" * 3)


@pytest.mark.parametrize(
    "frame",
    [
        "\tffffffff8110{place}00 {name} ([kernel.kallsyms])",
        "\tffffffff8110{place}00 {name} ([kernel.kallsyms])\n  page_alloc.c:1544",
        "\tffffffff8110{place}00 {name}\n  ??:0",
        "\t        c010{place}000 {name} ([kernel.kallsyms])",
        "\t        c010{place}000 {name}",
        "\t          1a2{place}b {name} (/usr/lib/debug/boot/vmlinux-6.1)",
        "\t{name} ([kernel.kallsyms])",
        "\t{name}",
    ],
)
def test_the_whole_kernels_part_of_a_chain_is_kept(frame: str) -> None:
    chain = "\n".join(frame.format(place=place, name=name) for place, name in enumerate(CHAIN))
    sample = f"            appd   500 [001]    22.498450: {PERF_ALLOC}\n{chain}\n"
    users = "\t        00012345 main (/usr/bin/appd)\n" if "(" in frame or "c010" in frame else ""
    found = rows(f"{sample}{users}\n" + f"{sample}{users}\n".replace("22.498450", "22.498451"))
    assert [row["stack"] for row in found] == ["\n".join(CHAIN)] * 2


def test_the_place_of_a_sample_without_a_chain_is_no_field() -> None:
    (row,) = rows(
        f"  appd   500 [001]    22.498450: {PERF_ALLOC} ffffffff81000010 __alloc_pages+0x10 ([kernel.kallsyms])\n"
    )
    assert row == PERF_TASK | BLOCK


def test_the_header_of_perf_names_host_and_kernel(tmp_path) -> None:
    header = "# ========\n# captured on    : Mon Jan  1 00:00:00 2024\n# hostname : web17\n# os release : 5.14.0\n# ========\n#\n"
    file = tmp_path / "perf.txt"
    file.write_text(f"{header}            appd   500 [001]    22.498450: {PERF_ALLOC}\n")
    with open_recording(file) as recording:
        assert recording.info.host == "web17"
    origin = PERF_SCRIPT.origin
    assert origin is not None
    assert origin(header.encode()).release == "5.14.0"
