"""The Python API: the command line's questions as calls, and nothing but Arrow tables as answers."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import pagetrail
from pagetrail import api
from pagetrail.schemas.errors import BadArgument, InputError, NotFound, TrailMissing
from tests.conftest import REPOSITORY

LINE = "  <idle>-0  [000] d....  {:.6f}: mm_page_alloc: page=0 pfn={:#x} order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"
TRACE = "# tracer: nop\n#\n" + "".join(LINE.format(1 + i / 1000, 256 + i) for i in range(50))


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> api.Trail:
    folder = tmp_path_factory.mktemp("api")
    for name, host in (("one", "a"), ("two", "b")):
        (folder / name).write_text(TRACE.replace("0x100 ", "0x1000 ") if host == "b" else TRACE)
        report = api.ingest(
            folder / "trail", folder / name, host=host, boot_id="boot", covers=("alloc", "free", "drain")
        )
        assert report.frames == 1
    assert sorted(api.replay(folder / "trail").halted) == []
    return pagetrail.open(folder / "trail")


def test_every_question_of_the_command_line_is_a_call(trail: api.Trail) -> None:
    calls = {name for name, _ in inspect.getmembers(trail, inspect.ismethod) if not name.startswith("_")}
    assert {"owner", "history", "snapshot", "top", "leaks", "sections", "audits", "streams", "export_spans"} <= calls


def test_everything_public_says_what_it_does() -> None:
    for name in pagetrail.__all__:
        assert name == "__version__" or inspect.getdoc(getattr(pagetrail, name))
    silent = [
        n for n, member in inspect.getmembers(api.Trail, inspect.isfunction) if n[0] != "_" and not member.__doc__
    ]
    assert silent == []


def test_answers_are_arrow_tables(trail: api.Trail) -> None:
    answers = [
        trail.streams(),
        trail.markers("a"),
        trail.owner([256], "1.01", stream="a"),
        trail.owners([(256, "1.01"), (300, 1_040_000_000)], stream="a"),
        trail.history(256, stream="a"),
        trail.snapshot("-0s", stream="a"),
        trail.top("-0s", "comm", stream="a"),
        trail.leaks("1.01", "-0s", "comm", stream="a"),
        trail.sections(stream="a"),
        trail.audits(stream="a"),
    ]
    assert all(isinstance(answer, pa.Table) for answer in answers)


def test_an_int_is_nanoseconds_of_the_trace_clock(trail: api.Trail) -> None:
    assert trail.owner([256], 1_010_000_000, stream="a") == trail.owner([256], "1.01", stream="a")


def test_one_of_several_streams_has_to_be_named(trail: api.Trail) -> None:
    with pytest.raises(NotFound, match="a/boot, b/boot"):
        trail.snapshot("-0s")
    assert trail.stream("a/boot").host == "a"
    assert trail.owner([0x1000], "1.01", stream="b")["state"].to_pylist() == ["owned"]


def test_errors_are_raised_and_say_what_to_do(trail: api.Trail, tmp_path: Path) -> None:
    with pytest.raises(TrailMissing, match="--trail"):
        pagetrail.open(tmp_path / "nowhere")
    with pytest.raises(BadArgument, match="RFC 3339"):
        trail.owner([256], "soon", stream="a")
    with pytest.raises(InputError, match="nowhere"):
        api.ingest(tmp_path / "trail", tmp_path / "nowhere")


def test_a_trail_opened_before_a_replay_answers_as_of_then(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE)
    (tmp_path / "later").write_text("# tracer: nop\n#\n" + LINE.format(9.0, 999))
    same = {"host": "a", "boot_id": "boot"}
    api.ingest(tmp_path / "trail", tmp_path / "trace", **same)
    api.replay(tmp_path / "trail")
    before = pagetrail.open(tmp_path / "trail")
    horizon = before.stream().horizon
    api.ingest(tmp_path / "trail", tmp_path / "later", **same)
    api.replay(tmp_path / "trail")
    assert before.stream().horizon == horizon
    assert before.owner([256], "1.01")["state"].to_pylist() == ["owned"]
    assert pagetrail.open(tmp_path / "trail").stream().horizon == 9_000_000_000


@pytest.mark.parametrize(
    "first", ["pagetrail.replay", "pagetrail.queries.core.stream", "pagetrail.api", "pagetrail.cli"]
)
def test_open_is_a_call_whatever_was_imported_before(first: str) -> None:
    code = f"import {first}, pagetrail; assert callable(pagetrail.open) and isinstance(pagetrail.Trail, type)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_no_question_loads_the_compiler_of_kernels(trail: api.Trail) -> None:
    asked = (
        "import sys; from pagetrail import api, cli; trail = api.open(sys.argv[1]); "
        "trail.owner([256], '1.01', stream='a'); trail.history(256, stream='a'); trail.snapshot('-0s', stream='a'); "
        "trail.leaks('1.01', '-0s', 'comm', stream='a'); trail.sections(stream='a'); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", asked, str(trail.path)], cwd=REPOSITORY, check=True)


def test_the_api_has_each_name_that_type_checkers_read() -> None:
    (names,) = (node for node in ast.parse(Path(api.__file__).read_text()).body if isinstance(node, ast.If))
    read = {alias.name for line in names.body if isinstance(line, ast.ImportFrom) for alias in line.names}
    assert read == set(api.__all__) == set(dir(api))
    assert all(getattr(api, name) is not None for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'asnwer'"):
        _ = api.asnwer  # type: ignore[attr-defined]


HEAVY = {"numpy", "pyarrow", "duckdb", "pydantic", "numba", "confluent_kafka"}
"""Packages that take long to load."""

OF_NO_QUESTION = {"numba", "llvmlite", "confluent_kafka", "rich", "pagetrail.schemas.jit", "pagetrail.ingesting"}
QUESTIONS = {
    "owner": "owner 256 --at 1.01 --stream a",
    "event": "event 0 1",
    "history": "history 256 --stream a",
    "snapshot": "snapshot --at -0s --stream a",
    "top": "top --at -0s --by comm --stream a",
    "leaks": "leaks --from 1.01 --to -0s --by comm --stream a",
    "sections": "sections --stream a",
    "doctor": "doctor --stream a",
}


@pytest.mark.parametrize(
    ("asked", "not_loaded"),
    [
        (["--help"], HEAVY),
        (["--version"], {*HEAVY, "rich"}),
        (["streams"], OF_NO_QUESTION),
        *((text.split(), OF_NO_QUESTION) for text in QUESTIONS.values()),
    ],
    ids=["help", "version", "streams", *QUESTIONS],
)
def test_a_command_loads_what_it_needs(trail: api.Trail, asked: list[str], not_loaded: set[str]) -> None:
    code = (
        "import sys; from pagetrail.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    environment = {**os.environ, "PAGETRAIL": str(trail.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code, *asked],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout
    assert not set(ran.stderr.split()) & not_loaded
