"""The folder of a capture: which of its files are read, and what is said of the others."""

import os
from pathlib import Path

import pytest

from pagetrail.producers import inputs
from pagetrail.producers.capture import folder as folder_module
from pagetrail.producers.capture.folder import CaptureFolder
from pagetrail.schemas.errors import InputError
from tests.properties.harm import NODES, put


@pytest.mark.parametrize("suffix", ["", ".zst", ".gz", ".xz", ".bz2"])
def test_a_file_is_found_whatever_packs_it(tmp_path: Path, suffix: str) -> None:
    (path := tmp_path / f"dmesg.txt{suffix}").write_bytes(b"")
    assert CaptureFolder(tmp_path).find("dmesg.txt") == path
    assert CaptureFolder(tmp_path).find("uname.txt") is None


@pytest.mark.parametrize("node", NODES[:-1])
def test_what_is_no_file_of_the_folder_is_left_out_and_said(tmp_path: Path, node: str) -> None:
    (tmp_path / "outside").write_text("a secret")
    put({"dmesg.txt": node}, tmp_path / "capture", tmp_path / "outside")
    found = CaptureFolder(tmp_path / "capture")
    assert found.text("dmesg.txt") is None
    (note,) = found.notes
    assert note.startswith("dmesg.txt: it is left out: ")


def test_a_link_within_the_folder_is_followed_and_one_that_leads_out_only_if_told(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("a secret")
    capture = tmp_path / "capture"
    put({"real.txt": b"text", "out.txt": "a link outside"}, capture, tmp_path / "outside")
    (capture / "in.txt").symlink_to("real.txt")
    assert CaptureFolder(capture).text("in.txt") == "text"
    assert CaptureFolder(capture, follow_links=True).text("out.txt") == "a secret"


def test_a_folder_that_is_a_link_leading_out_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "1-boot").mkdir(parents=True)
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "snapshots").symlink_to(tmp_path / "elsewhere")
    found = CaptureFolder(tmp_path / "capture")
    assert found.folders("snapshots") == []
    assert "--follow-links" in found.notes[0]
    assert CaptureFolder(tmp_path / "capture", follow_links=True).folders("snapshots") == ["1-boot"]


def test_a_text_beyond_the_limit_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "SMALL_TEXT_BYTES", 100)
    (tmp_path / "dmesg.txt").write_bytes(bytes(101))
    with pytest.raises(InputError, match=r"dmesg\.txt: expected a text of at most"):
        CaptureFolder(tmp_path).text("dmesg.txt")


def test_of_a_file_that_is_read_by_lines_no_more_than_the_limit_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "LINES_BYTES", 25)
    (tmp_path / "uevents.txt").write_text("a line\n" * 10)
    found = CaptureFolder(tmp_path)
    assert list(found.lines("uevents.txt")) == ["a line"] * 3
    assert "only its first" in found.notes[0]


def test_a_name_that_is_too_long_is_not_there(tmp_path: Path) -> None:
    assert CaptureFolder(tmp_path).find("x" * 5000) is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208
