"""Slow, obvious reading of what stands behind the name of an event."""

import itertools
import re

from pagetrail.schemas.linux.gfp import GFP_FLAGS_6_1
from pagetrail.schemas.linux.other_events import says_nothing_new
from tests.oracles.text.reading import Row

OTHERS = ("mm_page_free_batched", "kmalloc")
TELLING = re.compile(r"mm_page|alloc|free|migrat", re.IGNORECASE)
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
