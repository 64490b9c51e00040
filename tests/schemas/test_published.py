"""What was published holds still."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pagetrail.schemas import publish
from pagetrail.schemas.columns import SCHEMA_VERSION
from pagetrail.schemas.events import batch_row_to_event
from pagetrail.schemas.feed import FEED_SCHEMAS
from pagetrail.schemas.frames import FRAME_VERSION, decode_frame, decode_header, read_record_batch
from pagetrail.schemas.upcast import WIRE_SCHEMAS

GOLDEN = Path(__file__).parent.parent / "golden"
VERSIONS = sorted(publish.VERSIONS)
FRAMES = range(1, FRAME_VERSION + 1)
PUBLISHED = Path(publish.__file__).parent / "published"


def content(name: str) -> bytes:
    found = publish.published(name)
    assert found is not None, f"{name} is not in the package"
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_models_still_make_the_published_json_schema(version: int) -> None:
    assert publish.json_schema(version) == json.loads(content(f"v{version}.json"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_arrow_schema_is_the_one_in_use(version: int) -> None:
    found = pa.ipc.read_schema(pa.py_buffer(content(f"v{version}.arrow")))
    assert found.equals(WIRE_SCHEMAS[version], check_metadata=True)


@pytest.mark.parametrize("name", sorted(FEED_SCHEMAS))
def test_the_published_schema_of_a_feed_is_the_one_in_use(name: str) -> None:
    found = pa.ipc.read_schema(pa.py_buffer(content(f"{name}.arrow")))
    assert found.equals(FEED_SCHEMAS[name], check_metadata=True)


@pytest.mark.parametrize("version", FRAMES)
def test_the_golden_frame_decodes_to_the_golden_events(version: int) -> None:
    _, batch = decode_frame(content(f"v{version}.frame"))
    found = [batch_row_to_event(batch, row).model_dump(mode="json", exclude_none=True) for row in range(len(batch))]
    assert found == json.loads((GOLDEN / f"v{min(version, SCHEMA_VERSION)}.decoded.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("version", FRAMES)
def test_the_golden_frame_holds_every_kind_of_its_version(version: int) -> None:
    kinds = set(read_record_batch(content(f"v{version}.frame")).column("kind").to_pylist())
    assert kinds == set(publish.VERSIONS[min(version, SCHEMA_VERSION)].KINDS.values())


@pytest.mark.parametrize("version", FRAMES)
def test_encoding_the_golden_events_again_makes_the_golden_frame(version: int) -> None:
    # Decoding is the law. The bytes of an encoder may change with the Arrow library; then the content must not.
    golden, again = content(f"v{version}.frame"), publish.golden_frame(version)
    assert decode_header(again) == decode_header(golden)
    assert read_record_batch(again) == read_record_batch(golden)
    if pa.__version__.split(".")[0] == "26":
        assert again == golden


def test_publishing_again_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["--write"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [["--write"], ["--write", "--replace-current"]], ids=" ".join)
def test_an_older_published_version_is_never_replaced(options: list[str], tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path, dirs_exist_ok=True)
    changed = tmp_path / "v1.json"
    changed.write_text("{}")
    assert publish.main([*options, "--directory", str(tmp_path)]) == 1
    assert changed.read_text() == "{}"


def test_the_current_version_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path, dirs_exist_ok=True)
    changed = tmp_path / f"v{SCHEMA_VERSION}.json"
    changed.write_text("{}")
    assert publish.main(["--write", "--directory", str(tmp_path)]) == 1
    assert publish.main(["--write", "--replace-current", "--directory", str(tmp_path)]) == 0
    assert json.loads(changed.read_text()) == publish.json_schema(SCHEMA_VERSION)
