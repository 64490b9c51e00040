"""pagetrail demo: the whole way on a real recording that ships with the package."""

import os
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
import typer

from pagetrail import api
from pagetrail.commands.options import out, say
from pagetrail.queries.core.holders import page_bytes

LEAKER = "leakd"
WINDOW = ("@2-t2", "@5-t5")


def demo(
    context: typer.Context,
    trail: Annotated[
        Path | None,
        typer.Option("--trail", help="Directory for the demo's trail; else a temporary one, which is kept."),
    ] = None,
) -> None:
    """Show the whole way on a small real recording: in, replayed, asked, and checked against the kernel."""
    where = trail or context.find_root().obj or Path(tempfile.mkdtemp(prefix="pagetrail-demo-"))
    command = context.find_root().command

    def run(*arguments: str) -> None:
        out(f"\n$ pagetrail {' '.join(arguments)}\n")
        sys.stdout.flush()
        command.main(list(arguments), standalone_mode=False)
        sys.stdout.flush()

    os.environ["PAGETRAIL"] = str(where)
    # the first replay after an installation compiles its kernels: let that go on beside the ingest
    with subprocess.Popen([sys.executable, "-m", "pagetrail.replay.run.warm"]) as warming:
        out(_BEGIN)
        with as_file(files("pagetrail").joinpath("demo_data", "host-b")) as recording:
            out(f"\n$ pagetrail ingest {recording.name}\n")
            sys.stdout.flush()
            command.main(["ingest", str(recording)], standalone_mode=False)
        warming.wait()
    run("replay", "--no-correct")
    out("\nWhat did memory that was taken after the dump @2-t2, and is still held at @5-t5, go to?\n")
    run("leaks", "--from", WINDOW[0], "--to", WINDOW[1], "--by", "comm", "-n", "4")
    pfn = _page_with_a_past(where)
    out(f"\n{LEAKER} it is. One of the pages that it holds at the end: who owned it before, and everybody since?\n")
    run("owner", hex(pfn), "--at", "@3-t3")
    run("history", hex(pfn), "--from", WINDOW[0])
    out(_MOVABLE)
    run("owner", hex(_certain_page(where)), "--at", WINDOW[1])
    out("\nAnd how far is all this from what the kernel itself said at the same instants?\n")
    run("audit")
    out(_closing(where))


def _page_with_a_past(trail: Path) -> int:
    """Return a page that the leak holds at the end, and others held in the window before."""
    opened = api.open(trail)
    held = opened.snapshot(WINDOW[1])
    held = held.filter(
        pc.and_(pc.equal(held["comm"], LEAKER), pc.greater(held["alloc_ts"], opened.stream().instant("@4-t4").ts))
    )
    for pfn in held["pfn"].to_pylist()[:200]:
        before = opened.history(pfn, since=WINDOW[0])
        if len({row["comm"] for row in before.to_pylist() if row["state"] == "owned"}) > 1:
            return int(pfn)
    return int(held["pfn"][0].as_py())


def _certain_page(trail: Path) -> int:
    """Return a page of a workload whose owner is certain at the end: kernel memory that does not move."""
    held = api.open(trail).snapshot(WINDOW[1])
    held = held.filter(pc.and_(pc.equal(held["comm"], "wl-slab"), held["certain"]))
    return int(held["pfn"][0].as_py())


def _closing(trail: Path) -> str:
    opened = api.open(trail)
    audits = [row for row in opened.audits().to_pylist() if not row["applied"]]
    records, agree = (sum(row[name] for row in audits) for name in ("records", "agree"))
    size = page_bytes(opened.stream()) // 1024
    say.print(f"the trail is kept in {trail}: export PAGETRAIL={trail}", markup=False)
    return (
        f"\nThe first dump set the state; the {len(audits)} after it only checked the replay, page by page ({size} KiB each):\n"
        f"{agree:,} of the kernel's {records:,} records agree ({100.0 * agree / records:.2f} %): "
        "same page, order, pid, gfp mask, and time within 20 ms.\n"
    )


_BEGIN = f"""\
A virtual machine runs Linux 6.1; a process in it, {LEAKER}, leaks memory. ftrace recorded every page that was allocated and
freed, with stacks, for 48 seconds, and five times somebody also read the kernel's own /sys/kernel/debug/page_owner.
"""

_MOVABLE = f"""
{LEAKER}'s pages are page cache: the kernel may move them, and nothing recorded that. So pagetrail does not call them certain.
Kernel memory does not move:
"""
