"""The gfp flags in the format file of mm_page_alloc: C expressions, as the preprocessor left them."""

import re
from typing import Final

_FLAG: Final = re.compile(r"\{([^{}]*?), \"(\w+)\"\}")
_CAST: Final = re.compile(r"\( ?(?:gfp_t|unsigned long) ?\)")
_WIDEST: Final = 63
"""No bit is shifted further."""
_DEEPEST: Final = 64
"""Parentheses and tildes one within another, which is how they are evaluated: a kernel writes ten or so."""
_MOST_FLAGS: Final = 256
"""A mask has 32 bits, and a few names for several of them."""


def parse_gfp_format(text: str) -> dict[str, int]:
    """Return the gfp flags of mm_page_alloc's format file, name to bits, in the order in which the kernel tries them.

    Their values stand there as C expressions of numbers, ``<<``, ``|``, ``&`` and ``~`` (6.12 writes ``((1UL)) << (11)`` where 6.1
    writes ``0x800u``); anything else gives an empty table. A name of two masks is left out: which of them a line means is unknown.

    Source: include/trace/events/mmflags.h, show_gfp_flags (Linux 6.1 and 6.12).
    """
    flags: dict[str, int] = {}
    twice = set()
    _, _, flags_text = text.partition("__print_flags(")
    for found in _FLAG.finditer(flags_text):
        if _depth(found[1]) > _DEEPEST:
            return {}
        expression = re.sub(r"(0x[0-9a-f]+|[0-9]+)[uUlL]*", r"\1", _CAST.sub("", found[1]))
        value = _evaluate(re.findall(r"0x[0-9a-f]+|[0-9]+|<<|\S", expression))
        if value is None:
            return {}
        if flags.setdefault(found[2], value) != value:
            twice.add(found[2])
        if len(flags) > _MOST_FLAGS:
            return {}
    return {name: bits for name, bits in flags.items() if name not in twice}


def _depth(expression: str) -> int:
    """Return how deep parentheses are within one another, with all tildes."""
    depth = deepest = 0
    for character in expression:
        depth += (character in "(~") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _evaluate(tokens: list[str]) -> int | None:
    """Return the value of an expression of numbers, parentheses, ``~``, ``<<``, ``&`` and ``|``; null if it is none."""
    rest = tokens[::-1]
    try:
        value = _either(rest)
    except (IndexError, ValueError):
        return None
    return None if rest else value & 0xFFFF_FFFF


def _either(rest: list[str]) -> int:
    value = _both(rest)
    while rest and rest[-1] == "|":
        rest.pop()
        value |= _both(rest)
    return value


def _both(rest: list[str]) -> int:
    value = _shifted(rest)
    while rest and rest[-1] == "&":
        rest.pop()
        value &= _shifted(rest)
    return value


def _shifted(rest: list[str]) -> int:
    value = _factor(rest)
    while rest and rest[-1] == "<<":
        rest.pop()
        by = _factor(rest)
        if not 0 <= by <= _WIDEST:
            raise ValueError(by)
        value <<= by
    return value


def _factor(rest: list[str]) -> int:
    word = rest.pop()
    if word == "~":
        return ~_factor(rest)
    if word != "(":
        return int(word, 0)
    value = _either(rest)
    if rest.pop() != ")":
        raise ValueError(word)
    return value
