"""The lines of page_owner records as people have them, one at a time, by regular expressions: slow, and tolerant of odd forms.

A line is given without what a console or a tool put before it: see ``prefixes``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pagetrail.schemas.linux.migrate import MIGRATE_REASON_NAMES, MR_CONTIG_RANGE, MR_CONTIG_RANGE_BEFORE_5_10
from pagetrail.schemas.linux.mmzone import MIGRATETYPE_NAMES
from pagetrail.schemas.linux.page_owner import MEMCG_OBJCG, MEMCG_OFFLINE, MEMCG_SLAB, TASK_COMM_LEN

Fields = dict[str, int | str]
"""What lines of a record say: numbers and texts by the names of the columns of events."""

HIGHEST_ORDER: Final = 63
MOST_COMM_BYTES: Final = TASK_COMM_LEN - 1
"""What is longer is no comm: lines were joined, or some are missing."""

_INT32_MAX: Final = (1 << 31) - 1
_INT64_MAX: Final = (1 << 63) - 1

# print_page_owner (mm/page_owner.c, Linux 3.19 to 7.2); drgn's and gdb's scripts write "gfp_mask: 0x1, pid: 2"
_ALLOCATED: Final = (
    rb"Page allocated via order (?P<order>-?\d{1,18}), (?:gfp_)?mask:? 0x(?P<gfp>[0-9a-f]{1,16})(?:\([^)\s]*\))?"
)
_PID: Final = rb", pid:? (?P<pid>-?\d{1,18})(?:, tgid:? (?P<tgid>-?\d{1,18}))?"
_TIMES: Final = rb", ts (?P<ts>-?\d{1,18}) ns(?:, free_ts (?P<free_ts>-?\d{1,18}) ns)?"
_HEADERS: Final = tuple(
    re.compile(_ALLOCATED + rest, re.DOTALL)
    for rest in (
        rb"",
        _PID + _TIMES,
        _PID + rb" \((?P<comm>.*)\)(?:" + _TIMES + rb")?",
        _PID + rb" \((?P<comm>.{0,40}?)\)" + _TIMES + rb"(?P<more>, [a-z_]+.*)",
        _PID + _TIMES + rb"(?P<more>, [a-z_]+.*)",
    )
)
# Vendors' headers have other fields between those, or name the comm.
_VENDORS: Final = re.compile(_ALLOCATED + rb"(?P<rest>(?:, [^,]+)+ ns)")
_FIELD: Final = re.compile(
    rb"(?:(?P<name>pid|tgid|ts|free_ts)[ =:]+(?P<value>-?\d{1,18})(?P<comm>(?: \([^()]*\))?)(?P<unit> ns)?"
    rb"|comm[ =:]+(?P<named>[^,]{0,15})|(?!(?:pid|tgid|ts|free_ts|comm)\b)[a-z_]+[ =:]+[\w./:+-]+(?: ns)?)"
)
# page_tracking.py of Qualcomm's linux-ramdump-parser-v2
_TRACKED: Final = re.compile(
    rb"PFN : 0x(?P<pfn>[0-9a-f]{1,13})-0x(?P<last>[0-9a-f]{1,13}) Page : 0x[0-9a-f]+ Order : (?P<order>\d{1,2})"
    rb" PID : (?P<pid>-?\d{1,18}) (?:Comm: (?P<comm>.*) )?ts_nsec (?P<ts>-?\d{1,18})"
    rb"(?: gfp 0x(?P<gfp>[0-9a-f]{1,16}))?(?: pgext 0x[0-9a-f]+)?",
    re.DOTALL,
)

_NUMBER: Final = rb"(?:0x[0-9a-f]{1,16}|\d{1,18})"
_BLOCK: Final = rb"(?:0x[0-9a-f]{1,16}|-?\d{1,18})"
_PFN: Final = re.compile(rb"PFN:? (?P<pfn>" + _NUMBER + rb")(?:,? (?:type|Block|Flags)\b.*)")
_UNPREFIXED: Final = re.compile(rb"PFN:? (?=\d*[a-f])[0-9a-f]{1,16},? (?:type|Block|Flags)\b", re.IGNORECASE)
_TYPE_OF_OWNER: Final = re.compile(rb"PFN:? " + _NUMBER + rb" type ([^ ]+) Block ")
_TYPE_OF_BLOCK: Final = re.compile(
    rb"PFN:? " + _NUMBER + rb"(?: type [^ ]+)? Block " + _BLOCK + rb" type ([^ ]+)(?: |$)"
)
_FLAGS: Final = re.compile(
    rb" Flags 0x([0-9a-f]{1,16})\((.*)\)$|, Flags: 0x([0-9a-f]{1,16})$"
)  # names follow a whole number
_WHOLE_PFN: Final = re.compile(
    rb"PFN:? " + _NUMBER + rb"(?:"
    rb"(?: type [^ ]+)? Block " + _BLOCK + rb" type [^ ]+ Flags 0x[0-9a-f]{1,16}\([^ ]*\)"  # Linux 4.6 to 7.2
    rb"| Block " + _BLOCK + rb" type [^ ]+(?: [A-Za-z ]*)? Flags(?: [A-Za-z ]*)?"  # Linux 3.19 to 4.5: flags as letters
    rb"|(?: type \.\.\.)? Block " + _BLOCK + rb""  # the script of the crash extension, without types
    rb"|, Flags: 0x[0-9a-f]{1,16}"  # drgn's and gdb's scripts
    rb")"
)

_ADDRESS: Final = rb"(?:\[?<(?:0x)?[0-9a-f]{8,16}>\]?|(?:0x)?[0-9a-f]{8,16}:?)"
_SYMBOL: Final = rb"[^\s+()]+\+(?P<offset>0x[0-9a-f]+|\d+)(?:/(?:0x[0-9a-f]+|\d+))?"
_MODULE: Final = rb"(?:\s+\[[^\]]+\])?"
_FRAME: Final = re.compile(
    rb"(?:#\d+\s+)?(?P<frame>(?:" + _ADDRESS + rb"\s+)?(?:\? )?" + _SYMBOL + _MODULE
    + rb"|\[<[0-9a-f]{8,16}>\](?:\s+\S+" + _MODULE + rb")?|0x[0-9a-f]{8,16})"
)  # fmt: skip
_WORD: Final = re.compile(rb"(?:#\d+\s+)?((?:[^ ]|(?<=\]) | (?=\[))+)")
_NUMBERS_BEHIND: Final = re.compile(r"\+0x[0-9a-f]+(/0x[0-9a-f]+)?(?: *\[[^\[]*\])?$")
_NAMELESS: Final = re.compile(r"^\.\.\.$|(?:^|\s)0x[0-9a-f]+$")
_DECIMAL_OFFSET: Final = re.compile(rb"\+(\d+)$")

_MIGRATED: Final = re.compile(rb"[Pp]age has been migrated, last migrate reason: (.+)")
_CHARGED: Final = re.compile(
    rb"(?P<slab>Slab cache page)|Charged (?P<objcg>\(via objcg\) )?to (?P<offline>offline )?memcg ?(?P<name>.*)"
)
# print_page_owner in mode=handle and mode=stack_handle (a series of May 2026)
_HANDLE: Final = re.compile(rb"handle: (-?\d{1,10})")
_SORTED: Final = re.compile(rb"\d+ times(?:, \d+ pages.*)?:?")
# What cat and its like, or a shell, print where reading a file ends early; mm/page_owner.c, read_page_owner, fails with ENOMEM.
_STOPPED: Final = re.compile(
    rb"[\w./-]+: .*(?:Cannot allocate memory|Input/output error|Interrupted system call|Bad address|No space left on device)"
    rb"|\^C|Killed|Terminated|(?:.* )?Broken pipe"
)
_DOTS: Final = rb"(?:\.\.\.+|\. \. \.|\xe2\x80\xa6)"  # the last is one character for three dots
_LEFT_OUT: Final = re.compile(
    rb"(?!-+\[ cut here)(?:--+|[^\w\s]?"
    + _DOTS
    + rb"(?:.*"
    + _DOTS
    + rb")?[^\w\s]?|[- ]*(?:8<|>8)(?:[- ].*)?|--More--.*"
    rb"|\*\* \d+ printk messages dropped \*\*"
    rb"|[<\[({ -]*(?:snip|snipped|cut|skipped|truncated|omitted|output omitted|etc)\b[\w .,:]*[>\])} -]*)",
    re.IGNORECASE,
)
_PROMPT: Final = re.compile(rb"(?:.*[#$>] ?)?(?:sudo )?(?:cat|zcat|xzcat|bzcat|zstdcat) \S*page_owner\S*(?: ?>.*)?")
# A shell's lines, a text's markup, and messages of the kernel on a console.
_SESSION: Final = re.compile(
    rb"Script (?:started|done)\b.*|.*[#$] ?(?:exit)?|exit|logout|```\w*|~~~\w*|\{(?:noformat|code)[^}]*\}|\[/?code\]"
    rb"|(?:<\d+>)?\[ *\d+\.\d+\].*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to write records.

    Attributes
    ----------
    marker
        What only the first line of a record has.
    header
        Returns what that line says, null where it is damaged.
    names_page
        The first line names the page: there is no PFN line.
    """

    marker: bytes
    header: Callable[[bytes], Fields | None]
    names_page: bool = False


def header_fields(line: bytes) -> Fields | None:
    """Return what a header of print_page_owner says; null where it is damaged. ``more`` is what it has beyond known fields."""
    found = next((match for pattern in _HEADERS if (match := pattern.fullmatch(line))), None)
    return _vendors_fields(line) if found is None else owner_fields(found.groupdict())


def _vendors_fields(line: bytes) -> Fields | None:
    """Return what a header with a vendor's fields says; null where one of them is not whole, or is there twice."""
    found = _VENDORS.fullmatch(line)
    if found is None:
        return None
    texts: dict[str, bytes | None] = {"order": found["order"], "gfp": found["gfp"], "more": found["rest"]}
    for part in found["rest"].removeprefix(b", ").split(b", "):
        field = _FIELD.fullmatch(part)
        if field is None or (field["name"] and field["name"].endswith(b"ts") != bool(field["unit"])):
            return None
        said = {readable(field["name"]): field["value"]} if field["name"] else {}
        comm = field["named"] if field["named"] is not None else (field["comm"] or b"")[2:-1] or None
        said |= {} if comm is None else {"comm": comm}
        if said.keys() & texts.keys():
            return None
        texts |= said
    return owner_fields(texts)


def tracked_fields(line: bytes) -> Fields | None:
    """Return what a line of page_tracking.txt says; null where it is damaged."""
    found = _TRACKED.fullmatch(line)
    fields = None if found is None else owner_fields(found.groupdict())
    if found is None or fields is None:
        return None
    pfn = int(found["pfn"], 16)
    if int(found["last"], 16) != pfn + (1 << int(found["order"])) - 1:
        return None
    return fields | {"pfn": pfn}


def owner_fields(found: Mapping[str, bytes | None]) -> Fields | None:
    """Return the fields of an owner from their texts, by the names of the groups of patterns; null where one is impossible."""
    fields: Fields = {}
    for name, base in (("order", 10), ("pid", 10), ("tgid", 10), ("ts", 10), ("free_ts", 10), ("gfp", 16)):
        if (text := found.get(name)) is not None:
            fields[_COLUMN.get(name, name)] = int(text, base)
    for name in ("comm", "more"):
        if (text := found.get(name)) is not None:
            fields[name] = readable(text)
    if len(found.get("comm") or b"") > MOST_COMM_BYTES:
        return None
    possible = 0 <= int(fields["order"]) <= HIGHEST_ORDER and int(fields.get("gfp_mask", 0)) <= _INT64_MAX
    small = all(abs(int(fields.get(name, 0))) <= _INT32_MAX for name in ("pid", "tgid"))
    return fields if possible and small else None


_COLUMN: Final = {"ts": "ts_nsec", "free_ts": "free_ts_nsec", "gfp": "gfp_mask"}

PAGE_OWNER_DIALECT: Final = Dialect(marker=b"Page allocated via order ", header=header_fields)
TRACKING_DIALECT: Final = Dialect(marker=b"PFN : 0x", header=tracked_fields, names_page=True)


def is_pfn_line(line: bytes) -> bool:
    """Whether a line is, or was, the second one of a record."""
    return line.startswith(b"PFN")


def has_unprefixed_pfn(line: bytes) -> bool:
    """Whether the pfn of a PFN line is hexadecimal without ``0x``."""
    return _UNPREFIXED.match(line) is not None


def pfn_fields(line: bytes) -> tuple[Fields, bool] | None:
    """Return what a PFN line says, and whether all of it was understood; null where no whole pfn is in it."""
    found = _PFN.fullmatch(line)
    if found is None:
        return None
    text = found["pfn"]
    pfn = int(text, 16 if text.startswith(b"0x") else 10)
    if pfn > _INT64_MAX:
        return None
    fields: Fields = {"pfn": pfn}
    for name, pattern in (("migratetype", _TYPE_OF_OWNER), ("block_migratetype", _TYPE_OF_BLOCK)):
        if (word := pattern.match(line)) and (number := migratetype_number(word[1])) is not None:
            fields[name] = number
    if (word := _FLAGS.search(line)) and (b" Block " not in line or _TYPE_OF_OWNER.match(line)):
        flags = int(word[1] or word[3], 16)
        fields["page_flags"] = flags - (flags >> 63 << 64)
        if word[2] is not None:
            fields["page_flag_names"] = readable(word[2])
    return fields, _WHOLE_PFN.fullmatch(line) is not None


def migratetype_number(word: bytes) -> int | None:
    """Return the number of a migratetype that is named or, before Linux 4.6, numbered; null: 6.1 does not know the name."""
    name = readable(word)
    if name in MIGRATETYPE_NAMES:
        return MIGRATETYPE_NAMES.index(name)
    return int(word) if re.fullmatch(rb"\d{1,2}", word) and int(word) < 64 else None


def frame_text(line: bytes, *, indented: bool) -> str | None:
    """Return the frame that a line of a stack has, without a number before it; null: it is no such line.

    *indented*: blanks stand before it, so any one word will do, with an address before it or a module behind it.
    """
    found = _FRAME.fullmatch(line)
    if found is None:
        word = _WORD.fullmatch(line) if indented else None
        return None if word is None else readable(word[1])
    return readable(_DECIMAL_OFFSET.sub(lambda offset: b"+%#x" % int(offset[1]), found["frame"]))


def is_uneven(frames: Sequence[str]) -> bool:
    """Whether some of *frames* were cut or changed: others of the same stack have an offset, or a size, and all are printable."""
    forms = {_form(frame) for frame in frames if not _NAMELESS.search(frame)}
    return len(forms) > 1 or not all(frame.isascii() and frame.isprintable() and "\\" not in frame for frame in frames)


def _form(frame: str) -> int:
    """Return how many numbers stand behind the name of a frame: offset and size, offset, or none."""
    found = _NUMBERS_BEHIND.search(frame)
    return 0 if found is None else 2 if found[1] else 1


def other_fields(line: bytes) -> Fields | None:
    """Return what a known line behind the stack says; null: it is none of them."""
    if found := _MIGRATED.fullmatch(line):
        name = readable(found[1])
        if name == MR_CONTIG_RANGE_BEFORE_5_10:
            return {"migrate_reason": MR_CONTIG_RANGE}
        return {"migrate_reason": MIGRATE_REASON_NAMES.index(name)} if name in MIGRATE_REASON_NAMES else {}
    if found := _HANDLE.fullmatch(line):
        return {"handle": int(found[1])}
    if found := _CHARGED.fullmatch(line):
        if found["slab"]:
            return {"memcg_flags": MEMCG_SLAB}
        flags = MEMCG_OBJCG * bool(found["objcg"]) | MEMCG_OFFLINE * bool(found["offline"])
        return {"memcg_flags": flags, "cgroup": readable(found["name"])}
    return None


def is_sorted_line(line: bytes) -> bool:
    """Whether page_owner_sort wrote this line over a record. Source: tools/mm/page_owner_sort.c, main (Linux 6.1)."""
    return _SORTED.fullmatch(line) is not None


def is_stopped_line(line: bytes) -> bool:
    """Return whether a line says that reading the dump was stopped."""
    return _STOPPED.fullmatch(line) is not None


def is_left_out_line(line: bytes) -> bool:
    """Whether a line says that lines are left out here: grep writes ``--``, people write ``...``, printk how many it dropped.

    Source: kernel/printk/printk.c, console_emit_next_record (Linux 6.1).
    """
    return _LEFT_OUT.fullmatch(line) is not None


def is_shell_line(line: bytes) -> bool:
    """Whether a line is what a shell, or a text's markup, writes around the whole output of a command that reads a dump."""
    return _PROMPT.fullmatch(line) is not None or _SESSION.fullmatch(line) is not None


def readable(text: bytes) -> str:
    """Return bytes of a dump as text; those that are no UTF-8 are escaped."""
    return text.decode(errors="backslashreplace")
