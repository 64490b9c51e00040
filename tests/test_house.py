"""Laws of the tree itself: where things stand, what they may be called and what they may import."""

import ast
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from pagetrail.schemas import errors
from tests.conftest import REPOSITORY

ROOMS = ("schemas", "producers", "replay", "queries")
FOLDERS = (*ROOMS, "pagetrail", "tests", "benchmarks", "kafka", "docs", "docs/decisions")

MOST_FILES = 16

# Written so that this file does not break its own law.
MACHINE_PATHS = re.compile("|".join(rf"(?<![\w.])/{name}/" for name in ("work", "root", "opt/wheels", "home/[a-z]+")))
REGISTRIES = re.compile(r"pythonhosted[.]org|pypi[.]org/simple|index[-]url|find[-]links")


def tree_files() -> list[Path]:
    """Return the files of the tree: what git has or would add; without git, what is no cache."""
    git = shutil.which("git")
    if git and (REPOSITORY / ".git").exists():
        listed = subprocess.run(
            [git, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = [REPOSITORY / name for name in listed.split("\0") if name]
    else:
        tops = [REPOSITORY / name for name in (*FOLDERS, ".ci")]
        found = [file for top in tops for file in top.rglob("*") if "__pycache__" not in file.parts]
        found += REPOSITORY.glob("*")
    return sorted({file for file in found if file.is_file() and not file.is_symlink()})


def python_files(*tops: str) -> list[Path]:
    return [file for file in tree_files() if file.suffix == ".py" and file.relative_to(REPOSITORY).parts[0] in tops]


def shown(file: Path, line: int | None = None) -> str:
    return f"{file.relative_to(REPOSITORY)}" + (f":{line}" if line else "")


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for everything that a module imports; ``from a import b`` is ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_of_the_layout_is_there(folder: str) -> None:
    assert (REPOSITORY / folder).is_dir()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_linked_into_the_package_by_a_relative_link(room: str) -> None:
    link = REPOSITORY / "pagetrail" / room
    assert link.is_symlink()
    assert link.readlink() == Path("..") / room
    assert not (REPOSITORY / room).is_symlink()


def test_nothing_is_imported_by_a_rooms_short_name() -> None:
    files = python_files(*ROOMS, "pagetrail", "tests", "benchmarks")
    short = [
        f"{shown(file, line)}: {name}"
        for file in files
        for line, name in imported(ast.parse(file.read_text()))
        if name.split(".")[0] in ROOMS
    ]
    assert short == []


@pytest.mark.parametrize("room", ROOMS)
def test_an_installed_pagetrail_brings_no_short_name(room: str, tmp_path: Path) -> None:
    code = f"import importlib.util as u, pagetrail.{room}; raise SystemExit(u.find_spec({room!r}) is not None)"
    assert subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_no_room_imports_the_front_door() -> None:
    allowed = {*(f"pagetrail.{room}" for room in ROOMS)}
    through = [
        f"{shown(file, line)}: {name}"
        for file in python_files(*ROOMS)
        for line, name in imported(ast.parse(file.read_text()))
        if name.split(".")[0] == "pagetrail" and ".".join(name.split(".")[:2]) not in allowed
    ]
    assert through == []


def test_no_room_is_crowded() -> None:
    """About 15 files: with more, nobody finds the way by looking."""
    rooms = Counter(file.parent for file in python_files(*ROOMS, "pagetrail") if file.name != "__init__.py")
    assert {shown(room): files for room, files in rooms.items() if files > MOST_FILES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_one_name_is_one_class_within_a_room(room: str) -> None:
    """Published versions of the events keep the names of their time, each in a file of its own."""
    named: dict[str, list[str]] = {}
    for file in python_files(room):
        if "versions" in file.parts:
            continue
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named.setdefault(node.name, []).append(shown(file))
    assert {name: files for name, files in named.items() if len(files) > 1} == {}


def test_compiled_functions_are_in_files_that_say_so() -> None:
    """*kernel* is Linux: docs/words.md."""
    compiled = {"pagetrail.schemas.jit.jit", "pagetrail.schemas.jit.inner"}
    files = [
        shown(file)
        for file in python_files(*ROOMS)
        if compiled & {name for _, name in imported(ast.parse(file.read_text()))} and not file.stem.endswith("_jit")
    ]
    assert files == []
    assert [shown(file) for file in tree_files() if file.stem.endswith("_kernels")] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports under TYPE_CHECKING count too: who needs to name each other belongs into one module, or needs a third."""
    graph = grimp.build_graph("pagetrail", cache_dir=None, exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    left = set(imports)
    while free := {module for module in left if not imports[module] & left}:
        left -= free
    in_circles = {module for module in left if any(module in imports[other] for other in left)}
    assert sorted(in_circles) == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    named = []
    for file in tree_files():
        content = file.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
            found = MACHINE_PATHS.search(line) or REGISTRIES.search(line)
            if found:
                named.append(f"{shown(file, number)}: {found[0]}")
    assert named == []


def test_every_module_says_what_it_is() -> None:
    files = python_files(*ROOMS, "pagetrail", "tests", "benchmarks")
    assert [shown(file) for file in files if not ast.get_docstring(ast.parse(file.read_text()))] == []


def test_every_public_function_and_class_of_a_room_says_what_it_does() -> None:
    silent = [
        f"{shown(file, node.lineno)}: {node.name}"
        for file in python_files(*ROOMS)
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert [shown(file) for file in tree_files() if file.name in drawers] == []


def test_the_tree_of_errors_in_their_docstring_is_the_tree_of_classes() -> None:
    drawn: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    codes: dict[str, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        entry = re.match(r"^(?P<lead>[ │├└─]*)(?P<name>[A-Z][A-Za-z]+)(?: {2,}.*?(?:exit (?P<code>\d+))?)?$", line)
        if entry is None or not (entry["lead"].endswith("── ") or entry["name"] == "PagetrailError"):
            continue
        depth = len(entry["lead"])
        path = [step for step in path if step[0] < depth]
        drawn[entry["name"]] = path[-1][1] if path else "Exception"
        if entry["code"]:
            codes[entry["name"]] = int(entry["code"])
        path.append((depth, entry["name"]))
    classes = {
        name: thing
        for name, thing in inspect.getmembers(errors, inspect.isclass)
        if thing.__module__ == errors.__name__ and issubclass(thing, errors.PagetrailError)
    }
    assert drawn == {name: thing.__bases__[0].__name__ for name, thing in classes.items()}
    assert codes == {name: classes[name].exit_code for name in codes}


def test_the_package_is_found_where_the_tests_are() -> None:
    """An older installation would make every other test vacuous."""
    spec = importlib.util.find_spec("pagetrail")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == REPOSITORY / "pagetrail" / "__init__.py"
