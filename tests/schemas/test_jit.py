"""Compiled functions: one way to make them, and code on disk that is never older than what it was made from."""

import ast
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pagetrail.producers.formats import interning_jit
from pagetrail.producers.formats.page_owner import page_owner_jit, record_lines_jit, scan_jit
from pagetrail.producers.formats.text import ftrace_jit, perf_jit, text_jit
from pagetrail.replay.fold import fold_jit
from pagetrail.replay.fold.records import record_jit
from pagetrail.schemas.jit import inlined_digest
from tests.conftest import REPOSITORY
from tests.schemas.jit_programs import Programs, started
from tests.test_house import ROOMS, imported, python_files, shown

ENTRY = """
import numpy as np
from low import add
from pagetrail.schemas.jit import jit

@jit
def entry(x, i):
    return add(x, i)

try:
    print(entry(np.ones(1, np.int64), {index}), sum(entry.stats.cache_hits.values()))
except IndexError as error:
    print(error)
"""
INNER = """
from pagetrail.schemas.jit import inner

MORE = {more}

@inner
def add(x, i):
    return x[i] {sign} MORE
"""

Entry = Callable[..., Any]


def written(folder: Path, *, more: int = 1, sign: str = "+", index: int = 0) -> Path:
    """Write a program with an entry point and an inner function, each in its own file; return its path."""
    (folder / "entry.py").write_text(ENTRY.format(index=index))
    (folder / "low.py").write_text(INNER.format(more=more, sign=sign))
    return folder / "entry.py"


def run(program: Path) -> str:
    """Run a program with a cache beside it, in a process that shares nothing with any other; return what it prints."""
    environment = os.environ | {
        "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(program.parent / "cache"), "NUMBA_BOUNDSCHECK": "0",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, program.name], cwd=program.parent, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Return a process that runs programs."""
    with started() as process:
        yield process


@pytest.mark.slow
def test_a_function_whose_inner_function_has_changed_is_compiled_again(tmp_path: Path) -> None:
    """GIVEN compiled code on disk WHEN only what is inlined into it changes THEN the new rule runs, not the old one."""
    changes = ((1, "+"), (1, "+"), (5, "+"), (5, "-"))
    results = [run(written(tmp_path, more=more, sign=sign)) for more, sign in changes]
    assert results == ["2 0", "2 1", "6 0", "-4 0"]


def test_code_that_checks_its_indices_is_not_taken_for_code_that_does_not(tmp_path: Path, programs: Programs) -> None:
    """GIVEN compiled code on disk WHEN bounds checks are asked for THEN an index out of bounds is an error."""
    program = written(tmp_path)
    assert programs.run(program) == "2 0"
    assert programs.run(program, checked=True) == "2 0"
    assert programs.run(program) == "2 1"
    assert "out of bounds" in programs.run(written(tmp_path, index=1), checked=True)


DAMAGES = {
    f"{name} {suffix}": (suffix, content)
    for suffix in (".nbi", ".nbc")
    for name, content in {
        "empty": b"", "no pickle": b"not a pickle", "a class that is gone": b"cnumpy\nno_such_class\n.",
        "a module that is gone": b"cno_such_module\nname\n.",
    }.items()
}  # fmt: skip
"""What may be wrong with each of an entry point's two files on disk."""
ENTRIES = """
from pagetrail.schemas.jit import jit

entries = {{}}
for number in range({count}):
    exec(compile(f"def entry_{{number}}(x): return x + {{number}}", __file__, "exec"))
    entries[number] = jit(globals()[f"entry_{{number}}"])
for number, entry in entries.items():
    print(entry(1) - number, sum(entry.stats.cache_hits.values()))
"""


@pytest.fixture(scope="module")
def runs_after_damage(tmp_path_factory: pytest.TempPathFactory, programs: Programs) -> list[list[str]]:
    """Return what each entry point says when it is new, when its files are damaged, and after that."""
    folder = tmp_path_factory.mktemp("damaged")
    program = folder / "entries.py"
    program.write_text(ENTRIES.format(count=len(DAMAGES)))
    runs = [programs.run(program)]
    for number, (suffix, content) in enumerate(DAMAGES.values()):
        (file,) = (path for path in (folder / "cache").rglob(f"*entry_{number}-*") if path.name.endswith(suffix))
        file.write_bytes((pickle.dumps(version("numba")) if suffix == ".nbi" else b"") + content)
    runs += [programs.run(program), programs.run(program)]
    return [output.splitlines() for output in runs]


@pytest.mark.parametrize("damage", DAMAGES)
def test_code_on_disk_that_cannot_be_read_is_compiled_again(runs_after_damage: list[list[str]], damage: str) -> None:
    """GIVEN a cache of another version of pagetrail, or a damaged one, WHEN it is used THEN that costs time and nothing else."""
    number = list(DAMAGES).index(damage)
    assert [output[number] for output in runs_after_damage] == ["1 0", "1 0", "1 1"]


@pytest.mark.parametrize(
    ("entry", "module", "name"),
    [
        (ftrace_jit.scan_ftrace, text_jit, "decimal"),
        (ftrace_jit.scan_ftrace, interning_jit, "hash_bytes"),
        (ftrace_jit.scan_ftrace, text_jit, "_PFN"),
        (perf_jit.scan_perf, text_jit, "page_event"),
        (perf_jit.scan_perf, text_jit, "R_PFN"),
        (page_owner_jit.parse, scan_jit, "read_decimal"),
        (page_owner_jit.parse, record_lines_jit, "_REASONS"),
        (fold_jit.fold, record_jit, "close"),
    ],
)
def test_what_is_inlined_into_an_entry_point_is_part_of_its_digest(
    entry: Entry, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(entry, "py_func", entry)
    before = inlined_digest(function)
    changed = getattr(module, name)
    if callable(changed):
        code = getattr(changed, "py_func", changed)
        monkeypatch.setattr(code, "__code__", code.__code__.replace(co_consts=(*code.__code__.co_consts, "changed")))
    else:
        monkeypatch.setattr(module, name, changed[:-1] if hasattr(changed, "shape") else changed + 1)
    assert inlined_digest(function) != before
    monkeypatch.undo()
    assert inlined_digest(function) == before


def test_only_the_ground_floor_knows_how_functions_are_compiled() -> None:
    """Whoever asks numba for a cache gets one that keeps old code when a callee changes."""
    direct = [
        shown(file, line)
        for file in python_files(*ROOMS, "pagetrail", "tests", "benchmarks")
        for line, name in imported(ast.parse(file.read_text()))
        if name.split(".")[0] == "numba" and file != REPOSITORY / "schemas" / "jit.py"
    ]
    assert direct == []


@pytest.mark.slow
def test_an_inner_function_is_called_by_compiled_functions_alone() -> None:
    """It has no way in from Python: the call would end the process."""
    inners = {
        f"pagetrail.{'.'.join(file.relative_to(REPOSITORY).with_suffix('').parts)}.{node.name}"
        for file in python_files(*ROOMS)
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Name) and one.id == "inner" for one in node.decorator_list)
    }
    assert "pagetrail.replay.fold.records.record_jit.close" in inners
    through = []
    for file in python_files(*ROOMS, "pagetrail", "tests", "benchmarks"):
        if file.name.endswith("_jit.py") and file.parent.name != "schemas":
            continue
        tree = ast.parse(file.read_text())
        through += [f"{shown(file, line)}: {name}" for line, name in imported(tree) if name in inners]
        modules = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        through += [
            f"{shown(file, node.lineno)}: {node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and f"{modules.get(node.value.id)}.{node.attr}" in inners
        ]
    assert through == []
