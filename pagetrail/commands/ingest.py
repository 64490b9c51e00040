"""pagetrail ingest: recordings into the log."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    JsonOption,
    KafkaConfigOption,
    LogOption,
    ModeOption,
    TrailOption,
    out,
    parse_log,
    progress,
    say,
    share,
)
from pagetrail.schemas.errors import BadArgument, FrameConflict, FrameTooLarge, InputError, PagetrailError
from pagetrail.schemas.linux.gfp import parse_gfp_table
from pagetrail.schemas.linux.mmzone import LARGEST_PAGE_BYTES, PAGE_SHIFT
from pagetrail.schemas.linux.vmemmap import VMEMMAP_BASE_L4
from pagetrail.text.json_text import json_text

if TYPE_CHECKING:
    from pagetrail.schemas.details import Covered


def ingest(
    sources: Annotated[list[str], typer.Argument(metavar="FILE…|DIR|-", help="Recordings; '-' reads stdin.")],
    trail: TrailOption = DEFAULT_TRAIL,
    host: Annotated[str | None, typer.Option(help="Host that was recorded (default: what the recording says).")] = None,
    boot_id: Annotated[
        str | None, typer.Option(help="Boot that was recorded (default: what the recording says).")
    ] = None,
    covers: Annotated[
        str, typer.Option(metavar="KIND,…", help="Declare what was recorded completely: alloc,free,split,…")
    ] = "",
    probes: Annotated[bool, typer.Option(help="Read the events of a capture directory's probes on page_owner.")] = True,
    vmemmap_base: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address of the struct page of pfn 0, if KASLR moved it.")
    ] = None,
    log: LogOption = None,
    kafka_config: KafkaConfigOption = None,
    clock_skew: Annotated[
        int, typer.Option(metavar="NS", min=0, help="Declare how much the clocks of two CPUs may differ.")
    ] = 0,
    kernel_release: Annotated[
        str | None,
        typer.Option(metavar="RELEASE", help="uname -r of the recorded kernel, where the recording lacks it."),
    ] = None,
    gfp_table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of the recorded kernel's gfp flags, one NAME=HEX a line."),
    ] = None,
    split_boots: Annotated[
        bool, typer.Option("--split-boots", help="Store each of several boots in one file as a recording of its own.")
    ] = False,
    page_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Size of the machine's pages, such as 64K, if a file does not say."),
    ] = None,
    kallsyms: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="/proc/kallsyms or System.map of the boot that was recorded, to name the addresses of stacks.",
        ),
    ] = None,
    vmlinux: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="vmlinux or System.map of the recorded kernel, moved to where that boot had it; --kallsyms comes first.",
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TIME|mtime|order",
            help="When a page_owner dump was made: one for each FILE, in their order, or one word for all.",
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Say that nothing was filtered from the page_owner dumps.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Store a recording anew that an older pagetrail stored and read differently."),
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read what links of a capture directory name outside of it, too.")
    ] = False,
    mode: ModeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store recordings in the log; the format of each file is recognised from its content."""
    for source in sources[:1]:
        api.hash_ahead(Path(source))  # while what reads it is imported
    kinds = _kinds(covers)
    address = parse_log(log, kafka_config)
    if address is not None and mode is not None:
        raise BadArgument(
            "--mode: expected no --log: that log is not in the trail; 'pagetrail replay --mode' shares segments"
        )
    share(trail, mode, "log")
    base = None if vmemmap_base is None else _address(vmemmap_base)
    table = None if gfp_table is None else _gfp_table(gfp_table)
    shift = None if page_size is None else _page_shift(page_size)
    refused: dict[str, PagetrailError] = {}
    stored: list[api.IngestReport] = []

    def on_report(report: "api.IngestReport") -> None:
        stored.append(report)
        _report(report)

    sources, stacks = api.stack_handles_among(sources, boot_id=boot_id)
    dumps = api.dumps_in_order(sources, _ats(at or [], sources), boot_id=boot_id)
    if [source for source, _ in dumps] != sources:
        say(f"note: the dumps are stored in the order of their times: {', '.join(source for source, _ in dumps)}")
    outputs = api.outputs_among([source for source, _ in dumps])
    for source, made in [(source, made) for source, made in dumps if source in outputs]:
        several = outputs[source]
        follows = stored[-1].last_ts if stored and boot_id is not None else None
        try:
            with progress(f"ingest {source}") as bar:
                task = bar.add_task("", total=None, note="")
                api.ingest_all(
                    trail, several if len(several) > 1 else source, host=host, boot_id=boot_id, covers=kinds, probes=probes,
                    vmemmap_base=base, log=address, clock_skew=clock_skew, page_shift=shift, kernel_release=kernel_release,
                    gfp_table=table, again=again, kallsyms=kallsyms, vmlinux=vmlinux, split_boots=split_boots, at=made, whole=whole,
                    follows=follows, stacks=stacks, follow_links=follow_links, on_report=on_report,
                    on_note=_note, on_progress=lambda events: bar.update(task, note=f"{events:,} events"),  # noqa: B023
                )  # fmt: skip
        except (InputError, FrameConflict, FrameTooLarge, OSError) as error:
            refused[source] = error if isinstance(error, PagetrailError) else _unreadable(source, error)
            if len(sources) > 1:
                say(f"pagetrail: {refused[source]}")
    if as_json and (stored or len(sources) > 1):
        out(json_text([_as_json(report) for report in stored]))
    if refused and len(sources) == 1:
        raise refused[sources[0]]
    if refused:
        raise InputError(f"{len(refused)} of {len(sources)} recordings were not stored: {', '.join(refused)}")


def _unreadable(source: str, error: OSError) -> InputError:
    return InputError(
        f"{source}: expected recordings that can be read, found: {error.strerror or error}; check its permissions"
    )


def _ats(ats: list[str], sources: list[str]) -> list[str | None]:
    """Return the time of each source: its own, or the one word for all."""
    if not ats or (len(ats) == 1 and ats[0].strip() in ("mtime", "order")):
        return [ats[0] if ats else None] * len(sources)
    if len(ats) != len(sources):
        raise BadArgument(
            f"--at: expected one for each of {len(sources)} files, in their order, or one word for all (mtime, order); "
            f"found {len(ats)}"
        )
    return [*ats]


def _report(report: "api.IngestReport") -> None:
    stored = report.frames - report.duplicates
    what = f"{report.events:,} events in {report.frames} frames"
    if stored == 0:
        what += ", all stored before; nothing was added"
    elif report.duplicates:
        what += f"; {report.duplicates} of them were stored before"
    say(f"{report.source}: {what}; stream {report.origin.host}/{report.origin.boot_id}")
    account = report.end
    ignored = sum(account.ignored.values())
    if ignored:
        say(f"  {ignored:,} events add nothing about ownership and were not stored: {', '.join(account.ignored)}")
    if account.lost_events:
        say(
            f"  the recording lost {account.lost_events:,} events, by its own count; answers take account of it",
        )
    if account.not_understood:
        numbered = any(example.line for example in account.examples)  # records of a binary file have no number
        say(f"  {account.not_understood:,} {'lines' if numbered else 'records'} were not understood; the first:")
        for example in account.examples[:3]:
            say(f"    line {example.line}: {example.text}" if numbered else f"    {example.text}")
    if account.truncated:
        say(f"  cut short: {account.truncated}; everything before that is stored")
    if account.clamped:
        what = "timestamps went backwards and were clamped"
        say(f"  {account.clamped:,} {what}: what happened around them is not certain")
    for note in report.notes:
        _note(note)
    if account.records_unread:
        read = account.records or 0
        say(f"  {read:,} of {read + account.records_unread:,} records of page_owner were read")


def _note(text: str) -> None:
    say(f"  note: {text}")


def _as_json(report: "api.IngestReport") -> dict[str, object]:
    """Return what was stored of a recording, and what its lines were."""
    account, origin = report.end, report.origin
    kinds = [
        {"what": of.what, "kind": of.kind, "lines": of.lines, "first_line": of.first_line, "text": of.text}
        for of in account.lines_of_kinds
    ]
    return {
        "source": report.source, "host": origin.host, "boot_id": origin.boot_id, "recording": origin.recording,
        "events": report.events, "frames": report.frames, "duplicates": report.duplicates, "clamped": account.clamped,
        "lines": account.lines, "lines_of_kinds": kinds, "not_understood": account.not_understood,
        "lost_events": account.lost_events, "failed_allocs": account.failed_allocs, "truncated": account.truncated,
        "notes": list(report.notes),
    }  # fmt: skip


def _kinds(text: str) -> "tuple[Covered, ...]":
    kinds = tuple(kind.strip() for kind in text.split(",") if kind.strip())
    from pagetrail.schemas.details import Covered  # here: models of events, which help does not need

    known = get_args(Covered)
    for kind in kinds:
        if kind not in known:
            raise BadArgument(f"--covers {kind}: expected one or more of {', '.join(known)}")
    return kinds  # type: ignore[return-value]  # each is one of them


def _gfp_table(path: Path) -> dict[str, int]:
    try:
        return parse_gfp_table(path.read_text())
    except OSError as error:
        raise BadArgument(f"--gfp-table {path}: expected a readable file, found: {error.strerror or error}") from None
    except (BadArgument, UnicodeDecodeError) as error:
        raise BadArgument(f"--gfp-table {path}: {error}") from None


def _page_shift(text: str) -> int:
    """Return log2 of the bytes that *text* says. No kernel has pages below 4 KiB or above 256 KiB."""
    found = re.fullmatch(r"(\d{1,7})\s*([kKmM]?)(?:i?[bB])?", text.strip())
    size = int(found[1]) << {"": 0, "k": 10, "m": 20}[found[2].lower()] if found else 0
    if size & (size - 1) or not 1 << PAGE_SHIFT <= size <= LARGEST_PAGE_BYTES:
        raise BadArgument(
            f"--page-size {text}: expected a power of two from 4K to {LARGEST_PAGE_BYTES >> 10}K, such as 64K"
        )
    return size.bit_length() - 1


def _address(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise BadArgument(f"--vmemmap-base {text}: expected an address such as {VMEMMAP_BASE_L4:#x}") from None
