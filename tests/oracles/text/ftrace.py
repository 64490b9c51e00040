"""Slow, obvious parser of ftrace text."""

import re

from tests.oracles.text.payload import Bad, base_name
from tests.oracles.text.reading import Reading, Row
from tests.oracles.text.reference import (
    COUNT,
    FTRACE_CPU,
    MAX_LINE,
    NAME,
    OF_PERF,
    TIME,
    Reference,
    Repeat,
    head_row,
    nanoseconds,
    of_no_time,
    whole_lines,
)

FTRACE_HEAD = (
    rb"-(\?|\d{1,9}) +(?:\( *(-+|\d{1,9})\) *)?\[(\d{1,5})\] +(?:[!-/:-~][!-~]* +)?"
    rb"(\d{1,10})\.(\d{9}|\d{6}): +(.+)"
)
FTRACE_ALIGNED = re.compile(rb"(.{16})" + FTRACE_HEAD, re.DOTALL)
FTRACE_ANY = re.compile(rb"(.*?)" + FTRACE_HEAD, re.DOTALL)
LOST = re.compile(rb"\s*CPU:(\d{1,5}) \[(?:LOST(?: (\d{1,18}))? EVENTS|(?:(\d{1,18}) )?EVENTS DROPPED)\]\s*")
HEADER = re.compile(rb"# entries-in-buffer/entries-written: *(\d{1,18})/(\d{1,18}) +#P:(\d{1,5})\s*")
CALL = rb"[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)? <-[\w.]+(?:\+0x[0-9a-f/x]+)?(?: \[\w+\])?(?: <[0-9a-f]+>)?"
BEFORE = rb"version = \d+|cpus=\d+|CPU \d+ is empty|capturing trace\.\.\. ?(?:done)?|TRACE:"
FRAME = re.compile(rb"[ \t]*=>(.*)", re.DOTALL)


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
