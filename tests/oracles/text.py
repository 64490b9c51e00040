"""Slow, obvious parsers of ftrace text and perf script text: what the kernels are held against."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import TEXT_COLUMNS, Kind, absent
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.other_events import says_nothing_new

Row = dict[str, object]
NOTHING_NEW: Row = {}  # of a block off the free lists that went straight to an allocation

MAX_LINE = 65536
FTRACE_HEAD = (
    rb"-(\?|\d{1,9}) +(?:\( *(-+|\d{1,9})\) *)?\[(\d{1,5})\] +(?:[!-/:-~][!-~]* +)?"
    rb"(\d{1,10})\.(\d{9}|\d{6}): +(.+)"
)
FTRACE_ALIGNED = re.compile(rb"(.{16})" + FTRACE_HEAD, re.DOTALL)
FTRACE_ANY = re.compile(rb"(.*?)" + FTRACE_HEAD, re.DOTALL)
PERF_HEAD = re.compile(
    rb"((?:.* )?) *(-1|\d{1,9})(?:/(-1|\d{1,9}))? +(?:\[(\d{1,5})\] +)?(\d{1,10})\.(\d{9}|\d{6})$", re.DOTALL
)
PERF_RECORD_HEAD = re.compile(
    rb"((?:.*? )??)(?:-1|\d{1,9})(?:/(?:-1|\d{1,9}))? +(?:\[(\d{1,5})\] +)?(\d{1,10})\.(\d{9}|\d{6}): +", re.DOTALL
)
NAME = re.compile(rb"([A-Za-z0-9_.:+/]+?(?: <[0-9a-f]+>)?):(?= |$)(.*)", re.DOTALL)
LOST = re.compile(rb"\s*CPU:(\d{1,5}) \[(?:LOST(?: (\d{1,18}))? EVENTS|(?:(\d{1,18}) )?EVENTS DROPPED)\]\s*")
HEADER = re.compile(rb"# entries-in-buffer/entries-written: *(\d{1,18})/(\d{1,18}) +#P:(\d{1,5})\s*")
COUNT = re.compile(rb"# ?entri|entries-in-buffer|entries-written")
SECONDS, CPU_AND = rb"\d\.(?:\d{9}|\d{6})", rb"\[\d{1,5}\] +(?:[^ \d][^ ]* +)?"
TIME = re.compile(b"(?:%b|%b\\d{1,18}): " % (SECONDS, CPU_AND))
MARKER_AND_EVENT = re.compile(b"%b(?:\\d{0,9}%b|\\d{1,18}): " % (CPU_AND, SECONDS))
FTRACE_CPU = re.compile(rb"-\d{1,9} +(?:\( *(?:-+|\d{1,9})\) *)?\[(\d{1,5})\] ")
PERF_CPU = re.compile(rb" (?:-1|\d{1,9})(?:/(?:-1|\d{1,9}))? +\[(\d{1,5})\] ")
PAIR = re.compile(rb"\bpage=(?:0x)?([0-9a-f]{1,16}) pfn=(0x[0-9a-f]{1,15}|[0-9]{1,18})(?![^ \r\n])")
MOST_COMPARED = 128
OF_PERF = re.compile(rb".*%b: +(?:\d+ +)?kmem:mm_page_" % SECONDS, re.DOTALL)
OF_FTRACE = re.compile(rb".{1,16}%b.*%b: +mm_page_" % (FTRACE_CPU.pattern, SECONDS), re.DOTALL)
OTHERS = ("mm_page_free_batched", "kmalloc")
TELLING = re.compile(r"mm_page|alloc|free|migrat", re.IGNORECASE)
CALL = rb"[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)? <-[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)?"
BEFORE = rb"version = \d+|cpus=\d+|CPU \d+ is empty|capturing trace\.\.\. ?(?:done)?|TRACE:"
FRAME = re.compile(rb"[ \t]*=>(.*)", re.DOTALL)
PERF_FRAME = re.compile(rb"\t *(?:([0-9a-f]{5,})(?=\s|$))? ?(.*?)(?: ?\(([^()]*)\))?\s*", re.DOTALL)
SOURCE_LINE = re.compile(rb"  [^ ]+(?: \(.*)?", re.DOTALL)
USER_DSO = re.compile(r"\[(?:unknown|vsyscall|heap|uprobes|vectors|sigpage)\]|\[(?:vdso|stack|anon)")

ENTRY = "entry_SYSCALL|entry_INT80|asm_exc_|asm_sysvec_|asm_common_interrupt|ret_from_fork|el[01]t?_|ret_fast_syscall|__system_call"
KERNEL_DSO = (
    "",
    "[unknown]",
    "[kernel.kallsyms]",
    "[kernel.vmlinux]",
    "[guest.kernel.kallsyms]",
    "[kernel]",
    "inlined",
)

N = r"(0x[0-9a-f]{1,16}|0|[1-9]\d{0,19})"
I = r"(-?(?:0|[1-9]\d{0,9})|0x[0-9a-f]{1,8})"  # noqa: E741 - short, to keep the table below readable
PROBE = r" *\([ -'*-~]*\)"
PAGE_FIELDS = (("pfn", N), ("order", I))
EXTFRAG = (
    "alloc_order", "fallback_order", "pageblock_order", "alloc_migratetype", "fallback_migratetype", "fragmenting",
    "change_ownership",
)  # fmt: skip
PRINTED: dict[str, tuple[tuple[str, str], ...]] = {
    "mm_page_alloc": (*PAGE_FIELDS, ("migratetype", I), ("gfp_flags", "[!-~]+")),
    "mm_page_free": PAGE_FIELDS,
    "mm_page_free_direct": PAGE_FIELDS,
    "mm_pagevec_free": PAGE_FIELDS,
    "mm_page_pcpu_drain": (*PAGE_FIELDS, ("migratetype", I)),
    "mm_page_alloc_zone_locked": (*PAGE_FIELDS, ("migratetype", I), ("percpu_refill", I)),
    "mm_page_alloc_extfrag": (("pfn", N), *((name, I) for name in EXTFRAG)),
    "copy_owner": (("new", N), ("old", N)),
    "migrate_reason": (("page", N), ("reason", I)),
    "split_owner": (("page", N), ("nr", N)),
    "iso_owner": (("page", N), ("order", N), ("gfp", N)),
    "online_pages": (("pfn", N), ("nr_pages", N)),
    "offline_pages": (("pfn", N), ("nr_pages", N)),
    "online_pages_ret": (("ret", I),),
    "offline_pages_ret": (("ret", I),),
    "tracing_mark_write": (),
}
OTHER_PROBES = tuple((name, N) for name in ("old_order", "new_order", "start", "end"))
FIELD_NAMES = {name for fields in [*PRINTED.values(), OTHER_PROBES] for name, _ in fields}
WHOLE_NAMES = ("pfn", "order", "migratetype", "gfp_flags", "percpu_refill", "nr_pages")
ONCE = (Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.REFILL, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.MARKER)
"""What cannot be twice at one time, or says nothing more."""
MARKED = r"(?: {8,}(?:(?:0x[0-9a-f]{4,16}s?|[0-9a-f]{8,16}|\[?tracing_mark_write[^: ]*): )?| ?)(.*)"
SUFFIX = r"(?:\.(?:llvm|isra|constprop|part|cold|lto_priv)(?:\.[0-9]+)?)*(?:\+0x[0-9a-f/x]+)?(?: <[0-9a-f]+>)?$"


def base_name(name: str) -> str:
    """Return the name without group, modifiers, suffixes; markers have one name."""
    parts = name.split(":")
    if len(parts) > 2 and re.fullmatch("[ukhIGHpPSDWeb]+", parts[-1]):
        parts.pop()
    base = re.sub(SUFFIX, "", parts[-1])
    address = re.fullmatch("0x[0-9a-f]{4,16}s?|[0-9a-f]{8}|[0-9a-f]{16}", base) and re.search("[0-9]", base)
    return "tracing_mark_write" if address or base in ("print", "bprint", "bputs") else base


def is_joined(name: str) -> bool:
    """Return whether a field's name is the beginning of one and the whole name of another."""
    rests = (name.removesuffix(whole) for whole in WHOLE_NAMES if name.endswith(whole) and name != whole)
    return any(rest != known and known.startswith(rest) for rest in rests for known in {*FIELD_NAMES, "page"})


def added_fields(head: str) -> dict[str, set[str]]:
    """Return, by event, the fields that a vendor added: in eight lines of it at least, and in three of four of them."""
    of_event: dict[str, list[set[str]]] = {}
    for line in head.split("\n"):
        for name in PRINTED:
            for found in re.finditer(rf"\b{name}: (.*)", line):
                of_event.setdefault(name, []).append(set(re.findall(r"([A-Za-z_][\w.-]*)=", found[1], re.ASCII)))
    return {
        name: {f for f in set().union(*lines) if sum(f in line for line in lines) >= max(8, 3 * len(lines) // 4)}
        for name, lines in of_event.items()
    }


def printed(name: str, payload: str, added: set[str]) -> list[str]:
    """Return the values of the fields of *name*, in the order of ``PRINTED``; of an unprinted mask, as a word of hex digits."""
    if name == "tracing_mark_write":
        found = re.fullmatch(MARKED, payload, re.DOTALL)
        assert found is not None
        return [found[1]]
    text = payload.rstrip(" \t\r\v\f")
    unprinted = text.lstrip(" ").startswith("[FAILED TO PARSE]")
    if unprinted:
        text = text.lstrip(" ").removeprefix("[FAILED TO PARSE]")
    elif not name.startswith("mm_"):
        place = re.match(PROBE, text)
        if place is None:
            raise Bad
        text = text[place.end() :]
    text = re.sub(r" +[0-9a-f]{8,16} [!-~]+(?: \([^()]*\))?$", "", text)
    text = re.sub(r"(=0x[0-9a-f]+) \(-?[0-9]+\)", r"\1", text)
    text = re.sub(r"(?<= page=) +(?=[^ =]+(?: |$))", "", text)
    tokens = [token for token in text.split(" ") if token]
    names = [token.split("=")[0] for token in tokens]
    if len(set(names)) != len(names):
        raise Bad
    for token in tokens:
        if not re.fullmatch(r"[A-Za-z_][\w.-]*=[!-~]*", token, re.ASCII):
            raise Bad
    values = {token.split("=")[0]: token.split("=", 1)[1] for token in tokens}
    wanted = dict(PRINTED[name])
    extras = [extra for extra in values if extra not in {*wanted, "page", *added}]
    own_places = [place for place, extra in enumerate(values) if extra in {*wanted, "page"}]
    if any(is_joined(e) or (e in FIELD_NAMES and [*values].index(e) > max(own_places, default=-1)) for e in extras):
        raise Bad
    if name.startswith("mm_") and not unprinted and not values.get("page"):
        if set(values) != set(wanted):
            raise Bad
        unprinted = True
    elif name.startswith("mm_") and not unprinted and not re.fullmatch(r"[\w()]+", values["page"], re.ASCII):
        raise Bad
    for field_name, pattern in wanted.items():
        if not re.fullmatch(f"{N}|{I}" if unprinted else pattern, values.get(field_name, ""), re.ASCII):
            raise Bad
    if unprinted and "gfp_flags" in wanted:
        values["gfp_flags"] = f"bits {values['gfp_flags']}"
    return [values[field_name] for field_name in wanted]


@dataclass
class Reading:
    """What was read of one text."""

    rows: list[Row] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    not_understood: list[int] = field(default_factory=list)
    failed_allocs: int = 0
    lost_events: int = 0
    truncated: bool = False
    noted: list[int] = field(default_factory=list)
    """Lines that were not understood in all their parts."""
    lines: Counter[str] = field(default_factory=Counter)
    """By what they are."""


def rows_of(batches: Iterable[EventBatch]) -> list[Row]:
    """Return each row of *batches* as its values by column, without those that are absent."""
    rows: list[Row] = []
    for batch in batches:
        first = len(rows)
        rows += [{} for _ in range(len(batch))]
        for name, column in batch.columns.items():
            for at, value in enumerate(column.tolist()):
                if value != absent(name) or name in ("trace_ts_nsec", "kind"):
                    rows[first + at][name] = batch.texts[name][value] if name in TEXT_COLUMNS else value
        for at, text in batch.details.items():
            rows[first + at]["detail"] = json.loads(text)
    return rows


def of_no_time(line: bytes, other: re.Pattern[bytes]) -> str:
    """Return why a line is a loss at no known time: it is an event of the *other* tool, or what is left of a count of entries."""
    if other.match(line):
        return "it has events as another tool writes them, and when they were is not read"
    if other is OF_PERF and COUNT.search(line):
        return "its header counts what was overwritten, and cannot be read"
    return ""


class Bad(Exception):
    """The line is not understood; of which CPU it is, and whether it may have been an event of pages."""

    def __init__(
        self, cpu: int | None = None, *, loss: bool = True, cpu_field: re.Pattern[bytes] | None = None, line=b""
    ):
        self.cpu, self.loss = cpu, loss
        self.elsewhere = ""  # why it is a loss at no known time
        self.pages: Row = {}
        if cpu_field is not None:
            found = list(cpu_field.finditer(line))
            if len(found) == 1 and len(line[: found[0].start()].strip()) <= 15 and int(found[0][1]) < 8192:
                self.cpu = int(found[0][1])


def integer(text: str, low: int, high: int) -> int:
    value = int(text, 16) if text.startswith("0x") else int(text)
    if not low <= value < high:
        raise Bad
    return value


def pfn(text: str) -> int:
    return integer(text, 0, 1 << 52)


def order(text: str) -> int:
    return integer(text, 0, 64)


def migratetype(text: str) -> int:
    return integer(text, -1, 128)


def gfp_mask(text: str) -> int | None:
    mask = 0
    for part in text.split("|"):
        if re.fullmatch(r"0x[0-9a-f]{1,8}", part):
            mask |= int(part, 16)
        elif part in GFP_FLAGS_6_1:
            mask |= GFP_FLAGS_6_1[part]
        elif text != "none":
            return None
    return mask


def nanoseconds(seconds: bytes, fraction: bytes) -> int:
    if int(seconds) > 9_000_000_000:
        raise Bad
    return int(seconds) * 10**9 + int(fraction.ljust(9, b"0"))


def pages_named(name: str, payload: str) -> Row:
    """Return the block of a line that is not understood, where nothing but its own fields can be behind it."""
    fields = {
        "mm_page_alloc": ["migratetype", "gfp_flags"],
        "mm_page_pcpu_drain": ["migratetype"],
        "mm_page_alloc_zone_locked": ["migratetype", "percpu_refill"],
    }.get(name, [])
    cuts = [r"\S{0}"]
    for at, name_of_field in enumerate(fields):
        before = "".join(f"{field}=[^ =]* " for field in fields[:at])
        letters = "|".join(name_of_field[:n] for n in range(len(name_of_field) + 1))
        cuts.append(f"{before}(?:{letters}|{name_of_field}=[^ =]*)")
    found = (
        re.fullmatch(rf" *page=[!-~]+ pfn={N} order=(\d{{1,2}}) (?:{'|'.join(cuts[1:])})", payload, re.ASCII)
        if fields
        else None
    )
    if found is None or not 0 < int(found[1], 0 if found[1].startswith("0x") else 10) < 1 << 52 or int(found[2]) > 10:
        return {}
    return {"pfn": int(found[1], 0 if found[1].startswith("0x") else 10), "order": int(found[2])}


def may_tell(name: str, payload: bytes) -> bool:
    """Return whether an event that is not known may tell of pages, by its name and by what the first one prints."""
    if name not in OTHERS and any(edits(name.lower(), p) < 2 for p in PRINTED):
        return True
    return not says_nothing_new(name) and bool(TELLING.search(name) or b"pfn=" in payload)


def edits(left: str, right: str) -> int:
    """Return how many letters to change, add, remove or exchange with the next make *right* of *left*."""
    rows = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, j in itertools.product(range(len(left) + 1), range(len(right) + 1)):
        ways = (
            [i + j]
            if not i or not j
            else [rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (left[i - 1] != right[j - 1])]
        )
        if i > 1 and j > 1 and left[i - 2 : i] == right[j - 2 : j][::-1]:
            ways.append(rows[i - 2][j - 2] + 1)
        rows[i][j] = min(ways)
    return rows[-1][-1]


class Repeat(Exception):
    """The event is in the text already."""


def unsigned(text: bytes) -> int:
    return int(text, 16 if text.startswith(b"0x") else 10)


def size_and_base(head: bytes) -> tuple[int, int, range] | None:
    """Return size and base of how most pages of a text follow from their pfns, and of which pfns that is known, in whole sections;
    None where it does not show that.
    """
    pairs = {(int(page, 16), unsigned(number)) for page, number in PAIR.findall(head)} - {(0, 0)}
    by_pfn = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    steps = Counter(
        (b[0] - a[0]) // (b[1] - a[1])
        for a, b in itertools.pairwise(by_pfn)
        if b[1] > a[1] and (b[0] - a[0]) % (b[1] - a[1]) == 0 and 0 < b[0] - a[0] <= 1024 * (b[1] - a[1])
    )
    size = steps.most_common(1)[0][0] if steps else 1
    bases = Counter((page - number * size) % (1 << 64) for page, number in pairs)
    base, agree = bases.most_common(1)[0] if bases else (0, 0)
    firm = agree >= 8 and agree * 4 >= 3 * len(pairs) and len({number for _, number in pairs}) >= 8
    if not firm or not ((size, base) == (1, 0) or (size > 1 and base >= 1 << 63)):
        return None
    shown = {number >> 15 for page, number in pairs if (page - number * size) % (1 << 64) == base}
    return size, base, range(1 << 52) if size == 1 else range(min(shown) << 15, max(shown) + 1 << 15)


class Reference:
    """Both formats share what stands behind an event's name."""

    def __init__(self, vmemmap_base: int | None = None, head: bytes = b"") -> None:
        self.reading = Reading()
        self.size_and_base = size_and_base(head)
        self.elsewhere = 0  # events whose page and pfn are of sections that the head does not show
        self.added = added_fields(head.decode("latin-1"))
        self.vmemmap_base = vmemmap_base
        self.highest_pfn = 0
        self.calls: dict[int, tuple[str, int, int]] = {}
        self.last_ts: dict[int, int] = {}
        self.latest, self.disorder = -1, 0
        self.open: dict[int | None, dict[str, Row]] = {}
        self.telling: dict[str, bool] = {}  # names that are not known
        self.begin: tuple[int, set[int], int, str] | None = None
        self.everywhere: list[tuple[int | None, str]] = []
        self.in_buffer = self.overwritten = self.entries = self.located = self.chunks = 0

    def page(self, text: str) -> int:
        pointer = integer(text, 0, 1 << 64)
        base = self.vmemmap_base
        if base is None:
            base = 0xFFD4 << 48 if pointer >> 49 == 0xFFD4 >> 1 else 0xFFFFEA << 40
            if pointer >> 49 != 0xFFD4 >> 1 and pointer >> 40 != 0xFFFFEA:
                raise Bad
        number = (pointer - base) // 64
        if pointer < base or pointer % 64 != base % 64 or number >= 1 << 52:
            raise Bad
        if self.vmemmap_base is None and number > 2 * self.highest_pfn + (1 << 24):
            raise Bad
        return number

    def columns(self, name: str, payload: bytes, pid: int) -> Row | None:
        """Return what the event adds to its head; None for a failed allocation."""
        if (MARKER_AND_EVENT if name == "tracing_mark_write" else TIME).search(payload):
            raise Bad
        f = printed(name, payload.decode("latin-1"), self.added.get(name, set()))
        if name == "mm_page_alloc":
            rest: Row = {"order": order(f[1]), "migratetype": migratetype(f[2])}
            if integer(f[0], 0, 1 << 70) in (0, (1 << 64) - 1):
                return None
            bits = f[3].removeprefix("bits ")
            mask = gfp_mask(f[3]) if bits == f[3] else pfn(bits)
            return {"kind": Kind.ALLOC, "pfn": pfn(f[0])} | rest | ({} if mask is None else {"gfp_mask": mask})
        if name in ("mm_page_free", "mm_page_free_direct", "mm_pagevec_free"):
            return {"kind": Kind.FREE, "pfn": pfn(f[0]), "order": order(f[1])}
        if name == "mm_page_pcpu_drain":
            return {"kind": Kind.DRAIN, "pfn": pfn(f[0]), "order": order(f[1]), "migratetype": migratetype(f[2])}
        if name == "mm_page_alloc_zone_locked":
            row = {"kind": Kind.REFILL, "pfn": pfn(f[0]), "order": order(f[1]), "migratetype": migratetype(f[2])}
            return row if integer(f[3], 0, 2) else NOTHING_NEW
        if name == "mm_page_alloc_extfrag":
            names = ("fallback_order", "pageblock_order", "fragmenting", "change_ownership")
            numbers = (integer(text, -(1 << 70), 1 << 70) for text in (f[2], f[3], f[6], f[7]))
            detail = dict(zip(names, numbers, strict=True))
            types = {"migratetype": migratetype(f[4]), "block_migratetype": migratetype(f[5])}
            return {"kind": Kind.EXTFRAG, "pfn": pfn(f[0]), "order": order(f[1]), "detail": detail} | types
        if name == "copy_owner":
            return {"kind": Kind.MIGRATE, "pfn": self.page(f[0]), "src_pfn": self.page(f[1])}
        if name == "migrate_reason":
            page = self.page(f[0])
            return {"kind": Kind.MIGRATE, "pfn": page, "src_pfn": page, "migrate_reason": integer(f[1], 0, 128)}
        if name == "split_owner":
            return {"kind": Kind.SPLIT, "pfn": self.page(f[0]), "nr_pages": pfn(f[1]), "order": 0}
        if name == "iso_owner":
            return {"kind": Kind.ISOLATE, "pfn": self.page(f[0]), "order": order(f[1]), "gfp_mask": pfn(f[2])}
        if name == "tracing_mark_write":
            text = f[0].encode("latin-1").decode("utf-8", "backslashreplace")
            return {"kind": Kind.MARKER, "detail": {"text": text}}
        call = name.removesuffix("_ret")
        row: Row = {"kind": Kind.HOTPLUG, "detail": {"call": call, "source": "kprobe"}}
        if name == call:
            self.calls[pid] = (call, pfn(f[0]), pfn(f[1]))
            row["detail"] |= {"phase": "entry"}  # type: ignore[operator]
            return row | {"pfn": pfn(f[0]), "nr_pages": pfn(f[1])}
        ret = integer(f[0], 1 - (1 << 31), 1 << 32)
        row["detail"] |= {"phase": "return"}  # type: ignore[operator]
        row["ret"] = ret - (1 << 32) if ret >= 1 << 31 else ret
        opened = self.calls.pop(pid, None)
        if opened and opened[0] == call:
            row |= {"pfn": opened[1], "nr_pages": opened[2]}
        return row

    def event(self, number: int, head: Row, name: str, payload: bytes) -> Row | None:
        """Take one event; return its row."""
        cpu = head.get("cpu")
        base = base_name(name)
        row: Row | None = None
        what = "event"
        wrong = base.startswith("mm_page") and base in PRINTED and self.contradicts(payload)
        try:
            if wrong:
                raise Bad
            if base in PRINTED:
                row = self.columns(base, payload, int(str(head["pid"])) if "pid" in head else -1)
            elif not payload or TIME.search(payload) or self.telling.setdefault(name, may_tell(base, payload)):
                raise Bad
        except Bad as bad:
            bad.cpu = cpu if isinstance(cpu, int) else None
            bad.pages = {} if wrong else pages_named(base, payload.decode("latin-1"))
            raise
        of_cpu = isinstance(cpu, int) and (self.open.get(cpu) or (self.begin and cpu not in self.begin[1]))
        due = of_cpu or self.open.get(None)
        if due:
            self.seen(cpu, int(str(head["trace_ts_nsec"])))
        if row and self.is_repeat(head | row):
            self.reading.lines["nothing_new"] += 1
            raise Repeat
        if not due:
            self.seen(cpu, int(str(head["trace_ts_nsec"])))
        if base not in PRINTED:
            self.reading.ignored[name] += 1
            what = "nothing_new"
        elif row is None:
            self.reading.failed_allocs += 1
            what = "nothing_new"
        elif row is NOTHING_NEW:
            self.reading.ignored[name] += 1
            row, what = None, "nothing_new"
        elif row["kind"] == Kind.ALLOC and "gfp_mask" not in row:
            self.reading.not_understood.append(number)
            self.reading.noted.append(number)
            what = "not_understood"
        self.reading.events[name] += 1
        self.reading.lines[what] += 1
        self.entries += 1
        if row is None:
            return None
        self.highest_pfn = max(self.highest_pfn, int(str(row.get("pfn", 0))))
        row = head | row
        self.reading.rows.append(row)
        return row

    def contradicts(self, payload: bytes) -> bool:
        """Return whether the page of *payload* is another one than its pfn; of one event, asked once."""
        found = PAIR.search(payload)
        if found is None or self.size_and_base is None:
            return False
        page, number = int(found[1], 16), unsigned(found[2])
        size, base, known = self.size_and_base
        if (base + number * size - page) % (1 << 64) == 0 or (size > 1 and page < 1 << 32):
            return False
        if number in known or any((base + size * other - page) % (1 << 64) == 0 for other in self.candidates(page)):
            return True
        self.elsewhere += 1
        if self.elsewhere == 8:
            self.size_and_base = None
        return False

    def candidates(self, page: int) -> range:
        """Return the known pfn that has the struct page *page*, if one has."""
        assert self.size_and_base is not None
        size, base, known = self.size_and_base
        number = (page - base) % (1 << 64) // size
        return range(number, number + 1) if number in known else range(0)

    def is_repeat(self, row: Row) -> bool:
        """Return whether *row* was read already, at its time, and none since that has to do with its pages or is a gap."""

        def pages(one: Row) -> range:
            return range(int(str(one["pfn"])), int(str(one["pfn"])) + (1 << int(str(one.get("order", 0)))))

        rows = self.reading.rows[: -MOST_COMPARED - 1 : -1] if row["kind"] in ONCE else []
        for other in rows:
            if other["trace_ts_nsec"] != row["trace_ts_nsec"] or other["kind"] == Kind.GAP:
                return False
            if "pfn" in row and "pfn" in other:
                apart = pages(row).stop <= pages(other).start or pages(other).stop <= pages(row).start
            else:
                apart = "pfn" in row or "pfn" in other or row["kind"] != other["kind"]
            if not apart:
                return {**row, "stack": 0} == {**other, "stack": 0}
        return False

    def seen(self, cpu: object, ts: int) -> None:
        """Note that *cpu* was heard of at *ts*: a loss before that ends."""
        if isinstance(cpu, int):
            for kind, loss in self.open.pop(cpu, {}).items():
                need = max(int(str(loss["t_lo"])), int(str(loss.get("need", -1))))
                if ts >= need:
                    self.put_gap(cpu, loss, ts)
                else:
                    self.open.setdefault(cpu, {})[kind] = loss | {"t_lo": 0, "need": need}
            if self.begin is not None:
                cpus, heard, lost, reason = self.begin
                heard.add(cpu)
                if len(heard) == cpus:
                    self.begin = None
                    self.put_gap(None, {"t_lo": 0, "lost": lost, "reason": reason}, ts)
        self.disorder = max(self.disorder, self.latest - ts)
        somewhere = self.open.get(None, {})
        for kind, loss in list(somewhere.items()):
            if "t_hi" not in loss:
                loss["t_hi"] = ts + self.disorder
                if isinstance(cpu, int) and ts < loss["latest"]:
                    loss["latest"] = min(loss["latest"], self.last_ts.get(cpu, -1))
            loss["t_lo"] = max(0, loss["latest"] - self.disorder)
            if ts >= loss["t_hi"]:
                self.put_gap(None, somewhere.pop(kind), ts)
        self.latest = max(self.latest, ts)
        if isinstance(cpu, int):
            self.last_ts[cpu] = ts

    def lose(self, cpu: int | None, lost: int | None, reason: str, kind: str = "stated") -> Row:
        """Note a loss after the last event."""
        new: Row = {
            "t_lo": max(0, self.last_ts.get(cpu, 0)) if cpu is not None else 0,
            "latest": self.latest,
            "lost": 0,
        }
        loss = self.open.setdefault(cpu, {}).setdefault(kind, new)
        if cpu is None:
            loss.pop("t_hi", None)
        loss["lost"] = None if lost is None or loss["lost"] is None else lost + int(str(loss["lost"]))
        loss["reason"] = reason
        self.reading.lost_events += lost or 0
        return loss

    def lose_line(self, cpu: int | None, line: int, kind: str = "unread", pages: Row | None = None) -> None:
        """Note that a line may have been an event."""
        reason = "empty lines stand where events were written"
        if kind == "unread":
            reason = "lines that may have told of pages were not understood"
        pages = pages if pages and len(self.open.get(cpu, {})) < 64 else {}
        loss = self.lose(cpu, None, reason, f"{kind} {pages}" if pages else kind)
        loss["pages"] = pages
        loss["lines"] = int(str(loss.get("lines", 0))) + 1
        loss.setdefault("line", line)

    def lose_everywhere(self, lost: int | None, reason: str) -> None:
        """Note a loss at no known time."""
        self.everywhere.append((lost, reason))
        self.reading.lost_events += lost or 0

    def put_gap(self, cpu: int | None, loss: Row, ts: int) -> None:
        detail = {name: loss[name] for name in ("lost", "reason")} | {
            "t_lo": min(int(str(loss["t_lo"])), ts),
            "t_hi": ts,
        }
        detail |= {"count": loss.get("lines", 1), "line": loss.get("line")}
        row: Row = {"kind": Kind.GAP, "trace_ts_nsec": ts, "detail": detail, **loss.get("pages", {})}  # type: ignore[dict-item]
        self.reading.rows.append(row | ({} if cpu is None else {"cpu": cpu}))

    def not_understood(self, line: bytes, number: int, bad: Bad) -> None:
        """Note that line *number* was not understood."""
        self.reading.not_understood.append(number)
        self.reading.noted.append(number)
        self.reading.lines["not_understood"] += 1
        if bad.elsewhere and (None, bad.elsewhere) not in self.everywhere:
            self.lose_everywhere(None, bad.elsewhere)
        if bad.loss:
            self.entries += max(1, len(TIME.findall(line)))
            self.lose_line(bad.cpu, number, pages=bad.pages)

    def finish(self) -> Reading:
        last = max(self.latest, 0)
        somewhere = self.open.pop(None, {})
        for cpu in sorted(self.open):  # type: ignore[type-var]
            for loss in self.open[cpu].values():
                self.put_gap(cpu, loss, last)
        for kind, loss in somewhere.items():
            loss["t_lo"] = max(0, int(str(loss["latest"])) - self.disorder)
            if kind != "empty":
                self.put_gap(None, loss, last)
        if self.begin is not None:
            self.put_gap(None, {"t_lo": 0, "lost": self.begin[2], "reason": self.begin[3]}, last)
        for lost, reason in self.everywhere:
            self.put_gap(None, {"t_lo": 0, "lost": lost, "reason": reason}, last)
        return self.reading


def whole_lines(data: bytes) -> tuple[list[bytes], bytes]:
    *lines, tail = data.split(b"\n")
    return [line.removesuffix(b"\r") for line in lines], tail


def head_row(ts: int, cpu: bytes | None, pid: bytes, tgid: bytes | None, comm: bytes) -> Row:
    row: Row = {"trace_ts_nsec": ts}
    if cpu is not None:
        row["cpu"] = int(cpu)
    if pid not in (b"-1", b"?"):
        row["pid"] = int(pid)
    if tgid is not None and not tgid.startswith(b"-"):
        row["tgid"] = int(tgid)
    if comm and comm != b"<...>":
        row["comm"] = comm.decode("utf-8", "backslashreplace")
    return row


def read_ftrace(data: bytes, vmemmap_base: int | None = None) -> Reading:
    """Read a whole trace."""
    ref = Reference(vmemmap_base, data[: 1 << 18])
    lines, tail = whole_lines(data)
    waiting: dict[int, list[Row | None]] = {}  # per CPU: the last two events without a stack; None gave no row
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        try:
            at = ftrace_line(ref, waiting, lines, at, line, tail)
        except Bad as bad:
            ref.not_understood(line, at, bad)
    ref.reading.truncated = bool(tail)
    if ref.in_buffer > ref.entries:
        missing = ref.in_buffer - ref.entries
        ref.lose_everywhere(
            missing, f"the header counts {ref.in_buffer:,} entries, and {missing:,} of them are missing"
        )
    return ref.finish()


def ftrace_line(
    ref: Reference, waiting: dict[int, list[Row | None]], lines: list[bytes], at: int, line: bytes, tail: bytes
) -> int:
    """Take *line*, whose number is *at*; return how many lines have been taken."""
    if len(line) > MAX_LINE:
        forget(waiting, None)
        raise Bad
    lines_of = ref.reading.lines
    if line.startswith(b"#") and re.fullmatch(rb"#[ -~\t]*\r?", line) and not TIME.search(line):
        header = HEADER.fullmatch(line)
        if header:
            in_buffer, written, cpus = map(int, header.groups())
            lost = written - in_buffer
            if ref.entries:
                ref.in_buffer += in_buffer
            else:  # the file of one CPU counts the entries of all
                ref.in_buffer = max(ref.in_buffer, in_buffer)
                lost, ref.overwritten = lost - ref.overwritten, max(ref.overwritten, lost)
            if lost > 0:
                reason = f"the header says entries-in-buffer/entries-written: {in_buffer}/{written}"
                ref.begin = (cpus, set(), lost + (ref.begin[2] if ref.begin else 0), reason)
                ref.reading.lost_events += lost
        elif COUNT.search(line):
            forget(waiting, None)
            bad = Bad()
            bad.elsewhere = of_no_time(line, OF_PERF)
            raise bad
        lines_of["bookkeeping"] += 1
        return at
    lost = LOST.fullmatch(line)
    if lost and int(lost[1]) < 8192:
        count = lost[2] or lost[3]
        ref.lose(int(lost[1]), None if count is None else int(count), f"the trace says {line.strip().decode()}")
        forget(waiting, int(lost[1]))
        lines_of["bookkeeping"] += 1
        return at
    statistic = re.fullmatch(rb"\s*(?:overrun|commit overrun|dropped events): (\d{1,18})\s*", line)
    if statistic:
        if int(statistic[1]):
            ref.lose_everywhere(int(statistic[1]), f"trace-cmd says {line.strip().decode()}")
        lines_of["bookkeeping"] += 1
        return at
    if not line.strip(b"\r"):
        if ref.latest >= 0:
            ref.lose_line(None, at, "empty")
        lines_of["bookkeeping"] += 1
        return at
    if re.fullmatch(BEFORE, line.strip()):
        lines_of["bookkeeping"] += 1
        return at
    head = (
        None if line.startswith(b"#") or b"\0" in line else FTRACE_ALIGNED.fullmatch(line) or FTRACE_ANY.fullmatch(line)
    )
    elsewhere = of_no_time(line, OF_PERF)
    bad = Bad() if elsewhere else Bad(cpu_field=FTRACE_CPU, line=line)
    bad.elsewhere = elsewhere
    if head is None or len(head[1].lstrip(b" ")) > 15 or int(head[4]) >= 8192 or not line.strip():
        bad.loss = bool(elsewhere) or not FRAME.fullmatch(line) or bool(TIME.search(line)) or b"\0" in line
        if bad.loss:
            forget(waiting, bad.cpu)
        raise bad
    comm, pid, tgid, cpu, seconds, fraction, what = head.groups()
    try:
        row = head_row(nanoseconds(seconds, fraction), cpu, pid, tgid, comm.lstrip(b" "))
    except Bad:
        forget(waiting, bad.cpu)
        raise bad from None
    number = int(cpu)
    queue = waiting.setdefault(number, [])
    name = NAME.fullmatch(what)
    entry = base_name(name[1].decode()) if name and not TIME.search(name[2]) else ""
    if what in (b"<stack trace>", b"<user stack trace>") or entry in ("kernel_stack", "user_stack"):
        ref.seen(number, int(str(row["trace_ts_nsec"])))
        queue = waiting[number]
        ref.entries += 1
        lines_of["bookkeeping"] += 1
        frames = []
        while at < len(lines) and (frame := FRAME.fullmatch(lines[at])):
            if len(lines[at]) > 64 and TIME.search(lines[at], 1):
                break
            frames.append(frame[1].decode("utf-8", "backslashreplace").strip())
            lines_of["bookkeeping"] += 1
            at += 1
        cut = at == len(lines) and bool(tail) and b"=>".startswith(tail.lstrip(b" \t")[:2])
        if what == b"<stack trace>" or entry == "kernel_stack":
            owner = queue.pop() if queue else None
            if owner is not None and owner.get("pid") == row.get("pid") and frames and not cut:
                owner["stack"] = "\n".join(frames)
        return at
    if name is None:
        if re.fullmatch(CALL, what) and not TIME.search(what) and len(comm.lstrip()) <= 15:
            lines_of["nothing_new"] += 1
            ref.entries += 1
            return at
        if re.fullmatch(rb"# [0-9a-f]{1,8} buf:(?: [0-9a-f]{2})*\s*", what) and len(comm.lstrip()) <= 15:
            lines_of["nothing_new"] += 1
            ref.entries += 1
            return at
        forget(waiting, bad.cpu)
        raise bad
    waiting[number] = [*queue[-1:], None]
    try:
        waiting[number][-1] = ref.event(at, row, name[1].decode(), name[2])
    except Repeat:
        if queue and queue[-1] and queue[-1]["trace_ts_nsec"] == row["trace_ts_nsec"]:
            waiting[number] = queue
    return at


def forget(waiting: dict[int, list[Row | None]], cpu: int | None) -> None:
    """Let no event of *cpu* wait for a stack; null: of any."""
    for number in [*waiting] if cpu is None else [cpu]:
        waiting[number] = []


def read_perf(data: bytes, vmemmap_base: int | None = None) -> Reading:
    """Read the whole output of perf script."""
    ref = Reference(vmemmap_base, data[: 1 << 18])
    lines, tail = whole_lines(data)
    at, odd, in_chain = 0, -1, False  # odd: the last line that was no sample; and whether it was of a chain
    while at < len(lines):
        line = lines[at]
        at += 1
        try:
            sample = perf_head(line)
            if sample is not None:
                at = perf_sample(ref, sample, lines, at, tail)
                continue
            follows = at == odd + 1
            chained = follows and (line.startswith(b"\t") or (in_chain and bool(SOURCE_LINE.fullmatch(line))))
            if line and (chained or not line.startswith(b"\t")) and len(line) <= MAX_LINE:
                odd, in_chain = at, chained
            perf_odd(ref, line, chained)
            ref.reading.lines["bookkeeping"] += 1
        except Bad as bad:
            ref.not_understood(line, at, bad)
        except NothingNew:
            ref.reading.lines["nothing_new"] += 1
    ref.reading.truncated = bool(tail)
    return ref.finish()


class NothingNew(Exception):
    """The line is of another event."""


def perf_head(line: bytes) -> tuple[Row, bytes, bytes] | None:
    """Return the head of a sample, its event's name and what follows; None if the line is no sample."""
    if len(line) > MAX_LINE or line.startswith((b"\t", b"#")) or b"\0" in line:
        return None
    for colon in re.finditer(rb": ", line):
        head = PERF_HEAD.fullmatch(line[: colon.start()])
        if head is not None and int(head[5]) <= 9_000_000_000:
            break
    else:
        return None
    comm, first, second, cpu, seconds, fraction = head.groups()
    name = NAME.fullmatch(re.sub(rb"^\d+ +", b"", line[colon.end() :].lstrip(b" ")))
    if int(cpu or 0) >= 8192 or len(comm.strip(b" ")) > 15 or name is None:
        return None
    pid, tgid = (first, None) if second is None else (second, first)
    return head_row(nanoseconds(seconds, fraction), cpu, pid, tgid, comm.strip(b" ")), name[1], name[2]


def perf_sample(ref: Reference, sample: tuple[Row, bytes, bytes], lines: list[bytes], at: int, tail: bytes) -> int:
    """Take a sample whose line is number *at*, with its chain; return how many lines have been taken."""
    row, name, payload = sample
    behind = at
    while behind < len(lines) and (
        lines[behind].startswith(b"\t") or (behind > at and SOURCE_LINE.fullmatch(lines[behind]))
    ):
        if len(lines[behind]) > 80 and TIME.search(lines[behind], 1):
            break
        behind += 1
    cut = behind == len(lines) and tail.startswith((b"\t", b"  "))
    if frames := kernel_frames([] if cut else lines[at:behind]):
        row["stack"] = frames
    ref.reading.lines["bookkeeping"] += behind - at
    try:
        ref.event(at, row, name.decode(), payload)
    except Bad as bad:
        ref.not_understood(lines[at - 1], at, bad)
    except Repeat:
        pass
    return behind


def perf_odd(ref: Reference, line: bytes, chained: bool) -> None:
    """Take a line that is no sample; *chained*: it follows one of these."""
    if not line.strip(b"\r"):
        return
    if len(line) > MAX_LINE:
        raise Bad
    joined = bool(TIME.search(line))
    if chained or line.startswith(b"#"):
        if joined:
            raise Bad
        return
    if not line.startswith(b"\t"):
        head = PERF_RECORD_HEAD.match(line)
        if head and len(head[1].strip()) <= 15 and int(head[2] or 0) < 8192 and b"\0" not in line:
            what = line[head.end() :]
            record = re.match(rb"PERF_RECORD_[A-Z_0-9]+\b", what)
            lost = re.fullmatch(
                rb"(PERF_RECORD_LOST(?:_SAMPLES)?|PERF_RECORD_THROTTLE)\b(?: lost (\d{1,18}))?(?: \(BPF\))?\s*", what
            )
            if record and not TIME.search(what) and (lost or not record[0].startswith(b"PERF_RECORD_LOST")):
                if lost is None:
                    ref.reading.events[record[0].decode()] += 1
                    ref.reading.ignored[record[0].decode()] += 1
                    raise NothingNew
                perf_lost(ref, head, lost)
                return
        if not line.strip():
            raise Bad
    elif not joined and b"\0" not in line:
        raise Bad(loss=False)
    if elsewhere := of_no_time(line, OF_FTRACE):
        bad = Bad()
        bad.elsewhere = elsewhere
        raise bad
    raise Bad(cpu_field=PERF_CPU, line=line)


def perf_lost(ref: Reference, head: re.Match[bytes], lost: re.Match[bytes]) -> None:
    """Take a record of a loss."""
    count = None if lost[2] is None else int(lost[2])
    reason = f"perf says {lost[1].decode()}"
    at = int(head[3]) * 10**9 + int(head[4].ljust(9, b"0"))
    if at == 0:
        ref.lose_everywhere(count, reason)
    elif head[2] is not None:
        ref.lose(int(head[2]), count, reason)
    else:
        ref.reading.lost_events += count or 0
        ref.put_gap(None, {"t_lo": 0, "lost": count, "reason": reason}, at)


def is_users(line: bytes) -> bool:
    """Return whether the frame is certainly one of a process."""
    body = line.removeprefix(b"\t").lstrip(b" ").decode("latin-1")
    found = re.match(r"([0-9a-f]*)(?= |$)", body)
    address = found[1] if found and len(found[1]) >= 5 else ""
    if re.fullmatch("[89a-f][0-9a-f]{15}", address):
        return False
    dso = re.fullmatch(r".*? \((.*)", body, re.DOTALL) and body.endswith(")") and body[body.rindex(" (") + 2 : -1]
    if dso is None or dso is False:
        return address != "" and not re.fullmatch("[89a-f][0-9a-f]{7}", address)
    if dso == "inlined":
        return False
    if dso.startswith("["):
        return USER_DSO.match(dso) is not None
    return ".ko" not in dso and "/vmlinux" not in dso


def kernel_frames(chain: list[bytes]) -> str:
    own = []
    for line in chain:
        if line.startswith(b"\t") and is_users(line):
            break
        own.append(line)
    frames = []
    for line in own or chain:
        found = PERF_FRAME.fullmatch(line)
        if found is None:
            continue
        address, symbol, dso = ((part or b"").decode("utf-8", "backslashreplace") for part in found.groups())
        if not address and not symbol:
            continue
        text = f"0x{address}" if address and symbol in ("", "[unknown]") else symbol
        file = (dso or "").split("/")[-1]
        if dso in KERNEL_DSO or file.startswith("vmlinux"):
            frames.append(text)
        elif dso.startswith("["):
            frames.append(f"{text} {dso}")
        else:
            frames.append(f"{text} [{file.split('.ko')[0].replace('-', '_')}]")
        if not address and not dso and re.match(ENTRY, symbol):
            break
    return "\n".join(frames)
