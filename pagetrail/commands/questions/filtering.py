"""The options that select pages: the same for every question about all pages."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from pagetrail import api
from pagetrail.commands.options import parse_pfn, say
from pagetrail.schemas.errors import BadArgument

_PANEL: Final = "Filters (all must hold; of one that is repeated, any)"
_NUMBER: Final = re.compile(r"\d{1,99}|0[xX][0-9a-fA-F]{1,99}", re.ASCII)


def _numbers(name: str, text: str) -> Any:
    return typer.Option(name, metavar="N", help=text, rich_help_panel=_PANEL)


def _texts(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=_PANEL)


def _filters(
    pfn: Annotated[
        list[str] | None,
        _texts(
            "--pfn", "START-STOP", "Only these pages, decimal or 0x hex. STOP is exclusive; START alone is one page."
        ),
    ] = None,
    section: Annotated[list[int] | None, _numbers("--section", "Only pages of this memory section.")] = None,
    zone: Annotated[
        list[str] | None,
        _texts(
            "--zone", "NAME", "Only pages that this zone spans, by the zones that the recording lists: DMA32, Normal, …"
        ),
    ] = None,
    node: Annotated[list[int] | None, _numbers("--node", "Only pages that the zones of this node span.")] = None,
    migratetype: Annotated[
        list[str] | None,
        _texts("--migratetype", "NAME", "Only allocations of this migratetype: unmovable, movable, reclaimable, …"),
    ] = None,
    pid: Annotated[list[int] | None, _numbers("--pid", "Only pages whose owner has this thread id.")] = None,
    tgid: Annotated[list[int] | None, _numbers("--tgid", "Only pages whose owner has this process id.")] = None,
    comm: Annotated[
        list[str] | None, _texts("--comm", "NAME", "Only pages whose owner has exactly this command name.")
    ] = None,
    gfp: Annotated[
        list[str] | None,
        _texts(
            "--gfp",
            "NAME|MASK",
            "Only allocations with all these gfp flags: the recorded kernel's names, joined by |, or a number.",
        ),
    ] = None,
    order: Annotated[list[int] | None, _numbers("--order", "Only blocks of 2^N pages.")] = None,
    stack: Annotated[
        list[str] | None, _texts("--stack", "TEXT", "Only allocations with TEXT in a frame of their stack (canonical).")
    ] = None,
    cgroup: Annotated[
        list[str] | None,
        _texts("--cgroup", "TEXT", "Only pages whose memory cgroup has TEXT in its name, as the last dump has it."),
    ] = None,
    block_type: Annotated[
        list[str] | None,
        _texts(
            "--block-type", "NAME", "Only pages in pageblocks of this type, as the last dump has it: cma, movable, …"
        ),
    ] = None,
) -> "api.Filters":
    """Return what the options mean."""
    return api.Filters(
        pfn=[parse_pfn_range(text) for text in pfn or ()],
        section=section or (),
        zone=zone or (),
        node=node or (),
        migratetype=migratetype or (),
        pid=pid or (),
        tgid=tgid or (),
        comm=comm or (),
        gfp=[_parse_gfp(text) for text in gfp or ()],
        order=order or (),
        stack=stack or (),
        cgroup=cgroup or (),
        block_type=block_type or (),
    )


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of this file, in place of its parameter ``filters``."""
    own, shared = inspect.signature(command), inspect.signature(_filters)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared.parameters}
        command(**given, filters=_filters(**options))

    kept = [parameter for parameter in own.parameters.values() if parameter.name != "filters"]
    parameters = [*kept, *shared.parameters.values()]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def warn_of_pages_left_out(
    trail: "api.Trail", filters: "api.Filters", at: str, stream: str | None, as_of: str | None
) -> None:
    """Say on stderr which memory filters of zones and nodes cannot select at an instant."""
    if not (filters.zone or filters.node):
        return
    left_out = trail.outside_zones(at, stream=stream, as_of=as_of)
    if left_out:
        say(
            f"pagetrail: memory section {left_out} came online after the recording listed its zones: "
            "--zone and --node leave it out; ask for it with --section"
        )


def parse_pfn_range(text: str) -> tuple[int, int]:
    """Return (start_pfn, stop_pfn) of START-STOP, or of one page.

    Raises
    ------
    BadArgument
        It is neither, or holds no page.
    """
    first, dash, last = text.partition("-")
    start = parse_pfn(first)
    stop = parse_pfn(last) if dash else start + 1
    if stop <= start:
        raise BadArgument(
            f"--pfn {text!r}: expected STOP after START; STOP is exclusive: {first}-{start + 1:#x} is one page"
        )
    return start, stop


def _parse_gfp(text: str) -> str | int:
    """Return a mask as a number; names stay names, which each stream has its own table for."""
    if _NUMBER.fullmatch(text):
        return int(text, 16 if text[:2] in ("0x", "0X") else 10)
    return text
