"""Slow, obvious parser of perf script text."""

import re

from tests.oracles.text.payload import Bad
from tests.oracles.text.reading import Reading, Row
from tests.oracles.text.reference import (
    MAX_LINE,
    NAME,
    OF_FTRACE,
    TIME,
    Reference,
    Repeat,
    head_row,
    nanoseconds,
    of_no_time,
    whole_lines,
)

PERF_HEAD = re.compile(
    rb"((?:.* )?) *(-1|\d{1,9})(?:/(-1|\d{1,9}))? +(?:\[(\d{1,5})\] +)?(\d{1,10})\.(\d{9}|\d{6})$", re.DOTALL
)
PERF_RECORD_HEAD = re.compile(
    rb"((?:.*? )??)(?:-1|\d{1,9})(?:/(?:-1|\d{1,9}))? +(?:\[(?:-0?1|(\d{1,5}))\] +)?(\d{1,10})\.(\d{9}|\d{6}): +",
    re.DOTALL,
)
PERF_CPU = re.compile(rb" (?:-1|\d{1,9})(?:/(?:-1|\d{1,9}))? +\[(\d{1,5})\] ")
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
    named = comm.strip(b" ")
    if re.fullmatch(rb":\d{1,10}", named) and int(named[1:]) == int(pid):
        named = b""  # perf knows no name of that thread
    return head_row(nanoseconds(seconds, fraction), cpu, pid, tgid, named), name[1], name[2]


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
