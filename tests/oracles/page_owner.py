"""The obvious page_owner parsers: of what the kernel prints, by regular expressions, and of any text, region by region."""

import re

from pagetrail.producers.formats.page_owner.lines import PAGE_OWNER_DIALECT
from pagetrail.producers.formats.page_owner.tally import Tally
from pagetrail.producers.formats.page_owner.tolerant import Region, TolerantReader

HEADER = b"Page allocated via order "
NOTED_BYTES = 200  # of a line that is wrong; a byte that is no text is written as four characters
NOTED_CHARACTERS = 200
TYPES = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"]
REASONS = [
    "compaction",
    "memory_failure",
    "memory_hotplug",
    "syscall_or_cpuset",
    "mempolicy_mbind",
    "numa_misplaced",
    "contig_range",
    "longterm_pin",
    "demotion",
]
NUMBER = rb"(-?[0-9]{1,18})"
FIRST = re.compile(
    HEADER + NUMBER + rb", mask 0x([0-9a-f]{1,16})(?:\([^)\s]*\))?"
    rb"(?:, pid " + NUMBER + rb"(?:, tgid " + NUMBER + rb" \((.*)\))?"
    rb", ts " + NUMBER + rb" ns(?:, free_ts " + NUMBER + rb" ns)?)?"
)
PFN = rb"PFN (0x[0-9a-f]{1,16}|-?[0-9]{1,18})"
BLOCK = rb" Block (?:0x[0-9a-f]{1,16}|-?[0-9]{1,18}) type ([^ ]+)"
SECOND = re.compile(PFN + rb" type ([^ ]+)" + BLOCK + rb" Flags 0x([0-9a-f]{1,16})\((.*)\)")
SECOND_OLD = re.compile(PFN + BLOCK + rb".*? Flags .*")
REASON = re.compile(rb"Page has been migrated, last migrate reason: (.+)")
CHARGED = re.compile(rb"Charged (?:\(via objcg\) )?to (?:offline )?memcg (.*)")


def tolerant(data, source="dump"):
    """Return the records as dicts, and the tally, of a text of which every region is read with tolerance."""
    tally = Tally()
    reader = TolerantReader(PAGE_OWNER_DIALECT, tally)
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    within_line = bool(lines[-1])
    lines = lines if within_line else lines[:-1]
    starts = [number for number, line in enumerate(lines) if HEADER in line]
    records = []
    for start, stop in zip([0, *starts], [*starts, len(lines)], strict=True):
        if start == stop:
            continue
        end = stop == len(lines)
        region = Region(
            lines=lines[start:stop], first_line=start + 1, source=source, at_end=end, within_line=end and within_line
        )
        if (fields := reader.read(region)) is not None:
            tally.read(1, start + 1)
            records.append(fields)
    tally.finish(len(lines))
    return records, tally


def reference(data):
    """Return (records as dicts, (line, text) of each malformed one, whether the end is cut) of what a kernel printed."""
    *lines, rest = data.split(b"\n")
    records, bad, position, skipping = [], [], 0, False
    while position < len(lines):
        line = lines[position]
        if skipping and not line.startswith(HEADER):
            skipping = bool(line)
            position += 1
            continue
        skipping = False
        if not line:
            position += 1
            continue
        record, stop = read_record(lines, position)
        if stop is None:  # the end comes first
            if rest:
                return records, bad, True
            lines.append(b"")
            more, wrong, _ = reference(b"\n" * position + b"\n".join(lines[position:]) + b"\n")
            return records + more, bad + wrong, True
        if record is not None:
            records.append(record)
            position = stop
        else:
            bad.append((stop + 1, text(lines[stop][:NOTED_BYTES])[:NOTED_CHARACTERS]))
            position = max(stop, position + 1) if stop == position else stop
            skipping = True
    return records, bad, bool(rest) and (not skipping or rest.startswith(HEADER))


def read_record(lines, start):
    """Return (record, line behind it), (None, the line that is wrong) or (None, None) where the lines end first."""
    record, stack, others = {}, [], False
    for position in range(start, len(lines)):
        line, number = lines[position], position - start
        if number >= 2 and not line:
            if stack:
                record["stack"] = "\n".join(part.strip() for part in text(b"\n".join(stack)).split("\n"))
            return record, position + 1
        if number == 0:
            good = first_line(line, record)
        elif number == 1:
            good = second_line(line, record)
        elif line.startswith(b" ") and not others:
            good = True
            stack.append(line)
        else:
            others = True
            good = other_line(line, record)
        if not good:
            return None, position
    return None, None


def first_line(line, record):
    found = FIRST.fullmatch(line)
    if not found:
        return False
    order, mask, pid, tgid, comm, ts, free_ts = found.groups()
    record |= {"order": int(order), "gfp_mask": int(mask, 16)}
    record |= {"pid": pid and int(pid), "tgid": tgid and int(tgid), "ts_nsec": ts and int(ts)}
    record |= {"free_ts_nsec": free_ts and int(free_ts), "comm": None if comm is None else text(comm)}
    small = all(abs(record[name] or 0) <= 0x7FFF_FFFF for name in ("pid", "tgid"))
    return 0 <= int(order) <= 63 and int(mask, 16) < 2**63 and small and len(comm or b"") < 16


def second_line(line, record):
    if found := SECOND.fullmatch(line):
        pfn, kind, block, flags, names = found.groups()
        flags = int(flags, 16)
        record |= {"migratetype": migratetype(kind), "page_flags": flags - (flags >> 63 << 64)}
        record |= {} if names is None else {"page_flag_names": text(names)}
    elif found := SECOND_OLD.fullmatch(line):
        pfn, block = found.groups()
    else:
        return False
    record |= {"pfn": int(pfn, 16 if pfn.startswith(b"0x") else 10), "block_migratetype": migratetype(block)}
    return 0 <= record["pfn"] < 2**63


def other_line(line, record):
    if found := REASON.fullmatch(line):
        name = (
            found[1].decode(errors="replace").replace("cma", "contig_range") if found[1] == b"cma" else text(found[1])
        )
        if "migrate_reason" in record:
            return False
        if name in REASONS:
            record["migrate_reason"] = REASONS.index(name)
        return True
    if found := CHARGED.fullmatch(line):
        if "cgroup" in record:
            return False
        flags = 2 * (b"(via objcg)" in line.split(b" to ")[0]) + 4 * (b" to offline memcg" in line)
        record |= {"cgroup": text(found[1]), "memcg_flags": record.get("memcg_flags", 0) | flags}
        return True
    if line == b"Slab cache page":
        record["memcg_flags"] = record.get("memcg_flags", 0) | 1
    return line == b"Slab cache page"


def migratetype(word):
    if text(word) in TYPES:
        return TYPES.index(text(word))
    if re.fullmatch(rb"-?[0-9]{1,18}", word) and 0 <= int(word) < 64:
        return int(word)
    return None


def text(data):
    return data.decode(errors="backslashreplace")
