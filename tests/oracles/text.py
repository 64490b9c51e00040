"""Slow, obvious parsers of ftrace text and perf script text: what the kernels are held against."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pagetrail.schemas.batch import EventBatch
from pagetrail.schemas.columns import TEXT_COLUMNS, Kind, absent
from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1

Row = dict[str, object]
NOTHING_NEW: Row = {}  # of a block off the free lists that went straight to an allocation

MAX_LINE = 65536
FTRACE_HEAD = (
    rb"-(\?|\d{1,9}) +(?:\( *(-+|\d{1,9})\) *)?\[(\d{1,5})\] +(?:[^ \d][^ ]* +)?"
    rb"(\d{1,10})\.(\d{9}|\d{6}): +(.+)"
)
FTRACE_ALIGNED = re.compile(rb"(.{16})" + FTRACE_HEAD, re.DOTALL)
FTRACE_ANY = re.compile(rb"(.*?)" + FTRACE_HEAD, re.DOTALL)
PERF_HEAD = re.compile(
    rb"((?:.* )?) *(-1|\d{1,9})(?:/(-1|\d{1,9}))? +(?:\[(\d{1,5})\] +)?(\d{1,10})\.(\d{9}|\d{6})$", re.DOTALL
)
NAME = re.compile(rb"([A-Za-z0-9_.:+/]+?(?: <[0-9a-f]+>)?):(?= |$)(.*)", re.DOTALL)
LOST = re.compile(rb"CPU:(\d{1,5}) \[LOST(?: (\d{1,18}))? EVENTS\]\s*")
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

N = r"(0x[0-9a-f]{1,16}|\d{1,20})"
I = r"(-?\d{1,10}|0x[0-9a-f]{1,8})"  # noqa: E741 - short, to keep the table below readable
PROBE = r" *\([^()]*\)"
PAGE_FIELDS = (("pfn", N), ("order", I))
EXTFRAG = (
    "alloc_order", "fallback_order", "pageblock_order", "alloc_migratetype", "fallback_migratetype", "fragmenting",
    "change_ownership",
)  # fmt: skip
PRINTED: dict[str, tuple[tuple[str, str], ...]] = {
    "mm_page_alloc": (*PAGE_FIELDS, ("migratetype", I), ("gfp_flags", "[!-~]+")),
    "mm_page_free": PAGE_FIELDS,
    "mm_page_pcpu_drain": (*PAGE_FIELDS, ("migratetype", I)),
    "mm_page_alloc_zone_locked": (*PAGE_FIELDS, ("migratetype", I), ("percpu_refill", I)),
    "mm_page_alloc_extfrag": (("pfn", N), *((name, I) for name in EXTFRAG)),
    "copy_owner": (("new", N), ("old", N)),
    "split_owner": (("page", N), ("nr", N)),
    "iso_owner": (("page", N), ("order", N), ("gfp", N)),
    "online_pages": (("pfn", N), ("nr_pages", N)),
    "offline_pages": (("pfn", N), ("nr_pages", N)),
    "online_pages_ret": (("ret", I),),
    "offline_pages_ret": (("ret", I),),
    "tracing_mark_write": (),
}
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


def printed(name: str, payload: str) -> list[str]:
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
        if not re.fullmatch(r"[A-Za-z_][\w.-]*=[!-~]*|page=.+", token, re.ASCII | re.DOTALL):
            raise Bad
    values = {token.split("=")[0]: token.split("=", 1)[1] for token in tokens}
    wanted = dict(PRINTED[name])
    if name.startswith("mm_") and not unprinted and not values.get("page"):
        if set(values) != set(wanted):
            raise Bad
        unprinted = True
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


class Bad(Exception):
    """The line is not understood."""


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


class Reference:
    """Both formats share what stands behind an event's name."""

    def __init__(self, vmemmap_base: int | None = None) -> None:
        self.reading = Reading()
        self.vmemmap_base = vmemmap_base
        self.highest_pfn = 0
        self.calls: dict[int, tuple[str, int, int]] = {}
        self.last_ts: dict[int, int] = {}
        self.gaps: dict[int, Row] = {}

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
        f = printed(name, payload.decode("latin-1"))
        if name == "mm_page_alloc":
            rest: Row = {"order": order(f[1]), "migratetype": migratetype(f[2])}
            if integer(f[0], 0, 1 << 70) in (0, (1 << 64) - 1):
                return None
            bits = f[3].removeprefix("bits ")
            mask = gfp_mask(f[3]) if bits == f[3] else pfn(bits)
            return {"kind": Kind.ALLOC, "pfn": pfn(f[0])} | rest | ({} if mask is None else {"gfp_mask": mask})
        if name == "mm_page_free":
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
        if base in PRINTED:
            row = self.columns(base, payload, int(str(head["pid"])) if "pid" in head else -1)
            if row is None:
                self.reading.failed_allocs += 1
            elif row is NOTHING_NEW:
                self.reading.ignored[name] += 1
                row = None
            elif row["kind"] == Kind.ALLOC and "gfp_mask" not in row:
                self.reading.not_understood.append(number)
        else:
            self.reading.ignored[name] += 1
        self.reading.events[name] += 1
        self.seen(cpu, int(str(head["trace_ts_nsec"])))
        if row is None:
            return None
        self.highest_pfn = max(self.highest_pfn, int(str(row.get("pfn", 0))))
        row = head | row
        self.reading.rows.append(row)
        return row

    def seen(self, cpu: object, ts: int) -> None:
        """Note that *cpu* was heard of at *ts*: a loss before that ends."""
        if not isinstance(cpu, int):
            return
        gap = self.gaps.pop(cpu, None)
        if gap is not None:
            self.put_gap(gap, ts)
        self.last_ts[cpu] = ts

    def lose(self, cpu: int, lost: int | None, reason: str) -> None:
        before = self.gaps.get(cpu, {}).get("lost", 0)
        both = None if lost is None or before is None else lost + int(str(before))
        t_lo = self.last_ts.get(cpu, 0)
        self.gaps[cpu] = {"cpu": cpu, "t_lo": t_lo, "lost": both, "reason": reason}
        self.reading.lost_events += lost or 0

    def put_gap(self, gap: Row, ts: int) -> None:
        detail = {"t_lo": min(int(str(gap["t_lo"])), ts), "t_hi": ts, "lost": gap["lost"], "reason": gap["reason"]}
        row: Row = {"kind": Kind.GAP, "trace_ts_nsec": ts, "detail": detail}
        self.reading.rows.append(row | ({"cpu": gap["cpu"]} if "cpu" in gap else {}))

    def finish(self) -> Reading:
        last = max(self.last_ts.values(), default=0)
        for cpu in sorted(self.gaps):
            self.put_gap(self.gaps[cpu], last)
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
    ref = Reference(vmemmap_base)
    lines, tail = whole_lines(data)
    waiting: dict[int, list[Row | None]] = {}  # per CPU: the last two events without a stack; None gave no row
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        try:
            at = ftrace_line(ref, waiting, lines, at, line, tail)
        except Bad:
            ref.reading.not_understood.append(at)
    ref.reading.truncated = bool(tail)
    return ref.finish()


def ftrace_line(
    ref: Reference, waiting: dict[int, list[Row | None]], lines: list[bytes], at: int, line: bytes, tail: bytes
) -> int:
    """Take *line*, whose number is *at*; return how many lines have been taken."""
    if len(line) > MAX_LINE:
        raise Bad
    if line.startswith(b"#"):
        if not re.fullmatch(rb"#[ -~\t]*\r?", line):
            raise Bad
        return at
    lost = LOST.fullmatch(line)
    if lost and int(lost[1]) < 8192:
        count = None if lost[2] is None else int(lost[2])
        ref.lose(int(lost[1]), count, f"the trace says {line.strip().decode()}")
        waiting[int(lost[1])] = []
        return at
    head = FTRACE_ALIGNED.fullmatch(line) or FTRACE_ANY.fullmatch(line)
    if head is None:
        if line.strip() and not re.fullmatch(BEFORE, line):
            raise Bad
        return at
    comm, pid, tgid, cpu, seconds, fraction, what = head.groups()
    row = head_row(nanoseconds(seconds, fraction), cpu, pid, tgid, comm.lstrip(b" "))
    number = int(cpu)
    if number >= 8192:
        raise Bad
    queue = waiting.setdefault(number, [])
    name = NAME.fullmatch(what)
    entry = base_name(name[1].decode()) if name else ""
    if what in (b"<stack trace>", b"<user stack trace>") or entry in ("kernel_stack", "user_stack"):
        ref.seen(number, int(str(row["trace_ts_nsec"])))
        frames = []
        while at < len(lines) and (frame := FRAME.fullmatch(lines[at])):
            frames.append(frame[1].decode("utf-8", "backslashreplace").strip())
            at += 1
        cut = at == len(lines) and bool(tail) and b"=>".startswith(tail.lstrip(b" \t")[:2])
        if what == b"<stack trace>" or entry == "kernel_stack":
            owner = queue.pop() if queue else None
            if owner is not None and owner.get("pid") == row.get("pid") and frames and not cut:
                owner["stack"] = "\n".join(frames)
        return at
    if name is None:
        if re.fullmatch(CALL, what):
            return at
        raise Bad
    event: Row | None = None
    try:
        event = ref.event(at, row, name[1].decode(), name[2])
    finally:
        waiting[number] = [*queue[-1:], event]
    return at


def read_perf(data: bytes, vmemmap_base: int | None = None) -> Reading:
    """Read the whole output of perf script."""
    ref = Reference(vmemmap_base)
    lines, tail = whole_lines(data)
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        chain = []
        while line and not line.startswith(b"\t") and at < len(lines):
            if not (lines[at].startswith(b"\t") or (chain and SOURCE_LINE.fullmatch(lines[at]))):
                break
            chain.append(lines[at])
            at += 1
        cut = at == len(lines) and tail.startswith((b"\t", b"  "))
        try:
            perf_sample(ref, at - len(chain), line, [] if cut else chain)
        except Bad:
            ref.reading.not_understood.append(at - len(chain))
    ref.reading.truncated = bool(tail)
    return ref.finish()


def perf_sample(ref: Reference, number: int, line: bytes, chain: list[bytes]) -> None:
    if not line.strip() or line.startswith(b"#"):
        return
    if line.startswith(b"\t"):
        raise Bad
    for colon in re.finditer(rb": ", line):
        head = PERF_HEAD.fullmatch(line[: colon.start()])
        if head is not None and int(head[5]) <= 9_000_000_000:
            break
    else:
        raise Bad
    comm, first, second, cpu, seconds, fraction = head.groups()
    if int(cpu or 0) >= 8192:
        raise Bad
    what = re.sub(rb"^\d+ +", b"", line[colon.end() :].lstrip(b" "))
    lost = re.fullmatch(rb"PERF_RECORD_LOST lost (\d{1,18})\s*", what)
    record = re.match(rb"PERF_RECORD_[A-Z_0-9]+\b", what)
    if lost and cpu is not None:
        ref.lose(int(cpu), int(lost[1]), "perf says PERF_RECORD_LOST")
    elif lost:
        ref.reading.lost_events += int(lost[1])
        gap: Row = {"t_lo": 0, "lost": int(lost[1]), "reason": "perf says PERF_RECORD_LOST"}
        ref.put_gap(gap, nanoseconds(seconds, fraction))
    elif record and not NAME.fullmatch(what):
        ref.reading.events[record[0].decode()] += 1
        ref.reading.ignored[record[0].decode()] += 1
    if record and not NAME.fullmatch(what):
        return
    pid, tgid = (first, None) if second is None else (second, first)
    row = head_row(nanoseconds(seconds, fraction), cpu, pid, tgid, comm.strip(b" "))
    name = NAME.fullmatch(what)
    if name is None:
        raise Bad
    if frames := kernel_frames(chain):
        row["stack"] = frames
    ref.event(number, row, name[1].decode(), name[2])


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
