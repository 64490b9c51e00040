"""Who owned a page: the answer, how it is known, and how sure it is."""

from collections.abc import Callable
from typing import Any, Final

from pagetrail.schemas.linux.page_owner import MEMCG_OBJCG, MEMCG_OFFLINE, MEMCG_SLAB
from pagetrail.schemas.times import as_text
from pagetrail.text.printable import printable_row

_MEMCG: Final = {MEMCG_SLAB: "slab page", MEMCG_OBJCG: "charged via objcg", MEMCG_OFFLINE: "cgroup offline"}

Row = dict[str, Any]
Time = Callable[[int], str]


def owner_text(row: Row, wall_time: str | None, time: Time = as_text) -> str:
    """Return a row of ``Trail.owner`` as a few lines; *wall_time* is that of the instant, if it is known.

    *time* makes text of a time of the trace clock.
    """
    row = printable_row(row)
    at = f"at {time(row['asked_ts'])}" + (f" ({wall_time})" if wall_time else "")
    lines = [f"pfn {row['asked_pfn']} ({hex(row['asked_pfn'])}) {at}: {_headline(row)}"]
    if row["state"] == "owned":
        lines += _owner_lines(row, time)
    if row["state"] == "free" and row["free_pid"] is not None:
        last = f"; last owner seen: {_who(row['last_pid'], row['last_comm'])}" if row["last_pid"] is not None else ""
        lines.append(f"  freed by  {_who(row['free_pid'], row['free_comm'])}{last}")
    if row["kernel_says"] is not None and row["kernel_says"]["state"] == "unknown":
        lines.append("  kernel    it has no record of this page: a whole dump does not list it")
    elif row["kernel_says"] is not None:
        lines.append(f"  kernel    its own record is known to be wrong here: {_headline(row['kernel_says'])}")
    lines += _page_ext_lines(row["page_ext"], time)
    lines += _evidence_lines(row, time)
    return "\n".join(lines) + "\n"


def _who(pid: int, comm: str | None) -> str:
    return f"pid {pid} {comm or ''}"


def _headline(row: Row) -> str:
    if row["state"] != "owned":
        return str(row["state"])
    tgid = "" if row["tgid"] is None else f" tgid {row['tgid']}"
    gfp = "?" if row["gfp_mask"] is None else hex(row["gfp_mask"])
    if row.get("gfp_flags"):  # the kernel's own record has only the number
        gfp += f" ({row['gfp_flags']})"
    pid = "?" if row["pid"] is None else row["pid"]
    return f"owned by pid {pid}{tgid} ({row['comm'] or '?'}), order {row['order']}, gfp {gfp}"


def _owner_lines(row: Row, time: Time) -> list[str]:
    block = ""
    if row["order"] is not None:
        block = f"pages {row['block_pfn']} to {row['block_pfn'] + (1 << row['order']) - 1}"
    lines = [f"  block     {block}; run of {row['nr_pages']} from {row['pfn']}"]
    if row["alloc_ts"] is not None:
        lines.append(f"  since     {time(row['alloc_ts'])} (trace clock)")
    if row["ts_nsec"] is not None:
        lines.append(f"  ts_nsec   {row['ts_nsec']} (page_owner's clock)")
    if row["src_pfn"] is not None:
        told = row["migrate_reason_name"] if row["dump_ts"] is None else None  # what a dump said stands with the dump
        lines.append(f"  migrated  from pfn {row['src_pfn']}{f' because of {told}' if told else ''}")
    lines += _dump_lines(row, time)
    if row["stack"]:
        lines += _named("stack", row["stack"].split("\n"))
    elif row["dump_ts"] is not None:  # a dump names the stack of each record: where it is not there, it is unknown
        lines += _named("stack", ["(not recorded)"])
    return lines


def _dump_lines(row: Row, time: Time) -> list[str]:
    """What the last dump said of the block beside its owner: so it was then."""
    if row["dump_ts"] is None:
        return []
    charged = None if row["cgroup"] is None else f"cgroup {row['cgroup'] or '(no name)'}"
    memcg = row["memcg_flags"] or 0
    marks = [text for bit, text in _MEMCG.items() if memcg & bit]
    flags = None
    if row["page_flags"] is not None:
        names = f" ({row['page_flag_names']})" if row["page_flag_names"] else ""
        flags = f"flags {hex(row['page_flags'] & ((1 << 64) - 1))}{names}"
    block = row["block_type"] and f"pageblock {row['block_type']}"
    said = [text for text in (charged, *marks, block, flags) if text]
    lines = [f"as of {time(row['dump_ts'])}: {', '.join(said)}"] if said else []
    if row["migrate_reason_name"]:
        lines.append(f"migrated last because of {row['migrate_reason_name']}")
    return _named("dump", lines)


def _named(name: str, lines: list[str]) -> list[str]:
    """Return lines that have one name: it stands before the first."""
    return [f"  {name if i == 0 else '':<9} {line}" for i, line in enumerate(lines)]


def _page_ext_lines(values: list[Row], time: Time) -> list[str]:
    lines = []
    for value in values:
        known = "unknown"
        if value["value"] is not None:
            known = f"{value['value']}, {value['evidence']} at {time(value['begin_ts'])}"
        advisory = "" if value["certain"] else " (advisory)"
        lines.append(f"{value['client']}.{value['field']}: {known}{advisory}")
    return _named("page_ext", lines)


def _evidence_lines(row: Row, time: Time) -> list[str]:
    known = "nothing"
    if row["evidence"] != "none":
        event = f"event {row['event']} of {row['recording']}"
        known = f"{row['evidence']}: {row['how']} at {time(row['begin_ts'])}, {event}"
    sure = "certain" if row["certain"] else f"not certain of {', '.join(row['uncertain'])}"
    lines = [f"  known by  {known}", *_proof_lines(row, time), f"  sure      {sure}"]
    if row["why"]:
        lines.append(f"  why not   {row['why']}")
    lines.append(f"  horizon   {time(row['horizon'])}")
    return lines


def _proof_lines(row: Row, time: Time) -> list[str]:
    """Where the log holds the events that prove the answer: ``pagetrail event`` shows them."""
    if row["evidence"] == "none":
        return []
    lines = [f"  proof     {_place(row['log_offset'], row['event'], row['recording'])}"]
    if row["evidence_event"] != row["event"] or row["evidence_recording"] != row["recording"]:
        where = _place(row["evidence_log_offset"], row["evidence_event"], row["evidence_recording"])
        lines.append(f"            whose evidence is {where}, as of {time(row['evidence_ts'])}")
    return lines


def _place(offset: int | None, event: int, recording: str) -> str:
    if offset is None:
        return f"event {event} of recording {recording}, not in the trail's own log"
    return f"log offset {offset}, event {event}"
