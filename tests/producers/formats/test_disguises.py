"""Dumps that another program changed throughout: the same records as the kernel printed, and not whole unless the user says so."""

import html
import json
import re

import pytest

from tests.producers.formats.test_page_owner_odd import ALL, PLAIN, read, record, text

DUMP = text(PLAIN)
COLOURED = "\x1b[01;31m\x1b[K{}\x1b[m\x1b[K"


def each(form):
    return text(form.format(line) for line in PLAIN)


DISGUISES = {
    "a page of HTML": b"<!DOCTYPE html>\n<html><body><pre>\n" + DUMP + b"</pre></body></html>\n",
    "HTML with line breaks": each("{}<br>"),
    "HTML of paragraphs": each("<p class='x'>{}</p>"),
    "HTML with blanks that do not break": text(line.replace(" ", "&nbsp;") + "<br />" for line in PLAIN),
    "HTML in one line": b"<html><pre>" + b"<br>".join(line.encode() for line in PLAIN) + b"<br></pre></html>\n",
    "a string of JSON": json.dumps(DUMP.decode()).encode() + b"\n",
    "an object of JSON": json.dumps({"host": "a", "page_owner": DUMP.decode()}).encode() + b"\n",
    "a string of Python": repr(DUMP.decode()).encode() + b"\n",
    "bytes of Python with CR": repr(DUMP.replace(b"\n", b"\r\n")).encode() + b"\n",
    "a list of strings": text(["[", *(f"  {json.dumps(line)}," for line in PLAIN), "]"]),
    "fields in quotes": each('"{}"'),
    "cat -A": each("{}$"),
    "cat -A of CRLF": each("{}^M$"),
    "coloured lines": each("\x1b[32m{}\x1b[0m"),
    "coloured words": DUMP.replace(b"order", COLOURED.format("order").encode()),
    "a coloured header": DUMP.replace(b"Page allocated", COLOURED.format("Page allocated").encode()),
    "blanks that do not break": DUMP.replace(b" ", "\N{NO-BREAK SPACE}".encode()),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_dump_that_a_program_changed_throughout_has_the_same_records(disguise):
    rows, begins, parser = read(DISGUISES[disguise])
    assert rows == ALL
    assert begins[0].extent == "partial"
    account = parser.account
    assert account.unread == 0
    assert account.lines == sum(found.lines for found in account.kinds.values())


def test_lines_that_end_with_cr_alone_are_lines():
    rows, begins, _ = read(DUMP.replace(b"\n", b"\r"))
    assert rows == ALL
    assert begins[0].extent == "whole"


@pytest.mark.parametrize("comm", ["\x1b[31mred", "a\N{NO-BREAK SPACE}b", "<i>", "x$", 'y"', "back\\nslash", "&"])
def test_a_comm_that_looks_like_a_disguise_stays_what_it_is(comm):
    rows, begins, _ = read(text(line for number in range(10) for line in record(number, comm=comm)))
    assert [row["comm"] for row in rows] == [comm] * 10
    assert begins[0].extent == "whole"


def test_entities_within_a_record_mean_what_a_browser_shows():
    dump = text(line for number in range(10) for line in record(number, comm="a&b<c>"))
    dump = re.sub(rb"(?m)^ ", b" [<ffffffff81168244>] ", dump)
    rows, _, _ = read(b"<html><pre>\n" + html.escape(dump.decode()).encode() + b"</pre></html>\n")
    assert {row["comm"] for row in rows} == {"a&b<c>"}
    assert all(frame.startswith("[<ffffffff81168244>] ") for row in rows for frame in row["stack"].split("\n"))
