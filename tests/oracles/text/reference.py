"""What the reference parsers of ftrace text and perf script text share."""

import re

from pagetrail.schemas.columns import Kind
from tests.oracles.text.page_pointers import PAIR, size_and_base, unsigned
from tests.oracles.text.payload import (
    PRINTED,
    Bad,
    added_fields,
    base_name,
    gfp_mask,
    integer,
    may_tell,
    migratetype,
    order,
    pages_named,
    pfn,
    printed,
)
from tests.oracles.text.reading import NOTHING_NEW, Reading, Row

MAX_LINE = 65536
NAME = re.compile(rb"([A-Za-z0-9_.:+/,=-]+?(?: <[0-9a-f]+>)?):(?= |$)(.*)", re.DOTALL)
COUNT = re.compile(rb"# ?entri|entries-in-buffer|entries-written")
SECONDS, CPU_AND = rb"\d\.(?:\d{9}|\d{6})", rb"\[\d{1,5}\] +(?:[^ \d][^ ]* +)?"
TIME = re.compile(b"(?:%b|%b\\d{1,18}): " % (SECONDS, CPU_AND))
MARKER_AND_EVENT = re.compile(b"%b(?:\\d{0,9}%b|\\d{1,18}): " % (CPU_AND, SECONDS))
FTRACE_CPU = re.compile(rb"-\d{1,9} +(?:\( *(?:-+|\d{1,9})\) *)?\[(\d{1,5})\] ")
MOST_COMPARED = 128
OF_PERF = re.compile(rb".*%b: +(?:\d+ +)?kmem:mm_page_" % SECONDS, re.DOTALL)
OF_FTRACE = re.compile(rb".{1,16}%b.*%b: +mm_page_" % (FTRACE_CPU.pattern, SECONDS), re.DOTALL)
ONCE = (Kind.ALLOC, Kind.FREE, Kind.DRAIN, Kind.REFILL, Kind.SPLIT, Kind.MIGRATE, Kind.ISOLATE, Kind.MARKER)
"""What cannot be twice at one time, or says nothing more."""


def of_no_time(line: bytes, other: re.Pattern[bytes]) -> str:
    """Return why a line is a loss at no known time: it is an event of the *other* tool, or what is left of a count of entries."""
    if other.match(line):
        return "it has events as another tool writes them, and when they were is not read"
    if other is OF_PERF and COUNT.search(line):
        return "its header counts what was overwritten, and cannot be read"
    return ""


def nanoseconds(seconds: bytes, fraction: bytes) -> int:
    if int(seconds) > 9_000_000_000:
        raise Bad
    return int(seconds) * 10**9 + int(fraction.ljust(9, b"0"))


class Repeat(Exception):
    """The event is in the text already."""


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
