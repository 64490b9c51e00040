"""pagetrail demo: from a recording to checked answers, on a real recording that ships with the package."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from pagetrail import api
from pagetrail.commands.options import chosen_trail, out, say

LEAKER = "leakd"
WINDOW = ("@2-t2", "@5-t5")


def demo(
    context: typer.Context,
    trail: Annotated[
        Path | None,
        typer.Option(
            "--trail",
            help="Directory for the trail of the demo (default: a temporary one, which is kept).",
            callback=chosen_trail,
        ),
    ] = None,
) -> None:
    """Show everything on a small real recording: ingest and replay it, ask questions, and check the answers."""
    where = trail or Path(tempfile.mkdtemp(prefix="pagetrail-demo-"))
    command = context.find_root().command

    def run(*arguments: str, shown: str | None = None) -> None:
        out(f"\n$ pagetrail {shown or ' '.join(arguments)}\n")
        sys.stdout.flush()
        command.main(["--trail", str(where), *arguments], standalone_mode=False)
        sys.stdout.flush()

    # the first replay after an installation compiles its jit functions: that may go on beside the ingest
    with subprocess.Popen([sys.executable, "-m", "pagetrail.replay.run.warm"]) as warming:
        out(_BEGIN)
        with as_file(files("pagetrail").joinpath("demo_data", "host-b")) as recording:
            run("ingest", str(recording), shown=f"ingest {recording.name}")
        warming.wait()
    run("replay")
    _ask(where, run)
    out(_TWO_REPLAYS)
    run("replay", "--no-correct")
    run("audit", "--no-correct")
    out(_closing(where))
    say(f"the trail is kept in {where}: export PAGETRAIL={where}")


def _ask(trail: Path, run: Callable[..., None]) -> None:
    """Ask who leaks, who owned one of those pages before, and how sure it is who owns it at the end."""
    out("\nWhich memory was allocated after the dump @2-t2 and is still held at @5-t5?\n")
    run("leaks", "--from", WINDOW[0], "--to", WINDOW[1], "--by", "comm", "-n", "4")
    out(_LEAKING)
    pfn = hex(_page_with_a_past(trail))
    run("owner", pfn, "--at", "@3-t3")
    run("history", pfn, "--from", WINDOW[0])
    out(_AT_THE_END)
    run("owner", pfn, "--at", WINDOW[1])


def _page_with_a_past(trail: Path) -> int:
    """Return a page that the leak holds at the end, and that others held in the window before."""
    import pyarrow.compute as pc  # here: no other command needs it before it asks

    opened = api.open(trail, correct=True)
    held = opened.snapshot(WINDOW[1], columns=("pfn", "comm", "alloc_ts"))
    late = pc.greater(held["alloc_ts"], opened.instant("@4-t4"))
    held = held.filter(pc.and_(pc.equal(held["comm"], LEAKER), late))
    for pfn in held["pfn"].to_pylist()[:200]:
        before = opened.history(pfn, since=WINDOW[0])
        if len({row["comm"] for row in before.to_pylist() if row["state"] == "owned"}) > 1:
            return int(pfn)
    return int(held["pfn"][0].as_py())


def _closing(trail: Path) -> str:
    opened = api.open(trail, correct=False)
    audits = [row for row in opened.audits().to_pylist() if not row["applied"]]
    records, agree = (sum(row[name] for row in audits) for name in ("records", "agree"))
    return (
        f"\nThe first dump set the state; the {len(audits)} after it only checked the replay, page by page "
        f"({opened.page_bytes() // 1024} KiB each):\n"
        f"{agree:,} of the kernel's {records:,} records agree ({100.0 * agree / records:.2f} %): "
        "same page, order, pid, gfp mask, and time within 20 ms.\n"
    )


_BEGIN = f"""\
A virtual machine runs Linux 6.1; a process in it, {LEAKER}, leaks memory. ftrace recorded every page that was allocated and
freed, with stacks, for 48 seconds. Five times, the kernel's own /sys/kernel/debug/page_owner was read as well.
"""

_LEAKING = f"""
{LEAKER} leaks. Who owned one of these pages before, and who since?
"""

_AT_THE_END = """
And at the end? The kernel may move such a page, and this recording has no probe on migration. But /proc/vmstat, read with each
dump, counted no migration at all. So the owner is certain:
"""

_TWO_REPLAYS = """
Are these answers right? The replay above used all five dumps to correct itself, so they cannot check it. A second replay uses only
the first dump; the other four show how far it is from what the kernel itself said:
"""
