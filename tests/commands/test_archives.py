"""Compressed files and archives on the command line: each file of one is a recording, stored once however it comes."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from tests.commands.conftest import DEMO, Run
from tests.commands.test_again import DUMP, RECORD, TRACE, streams

PACKED = {
    "po.gz": gzip.compress, "po.zst": lambda data: zstandard.ZstdCompressor().compress(data), "po.bz2": bz2.compress,
    "po.xz": lambda data: lzma.compress(data, preset=1),
}  # fmt: skip


def tar_of(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    with zipfile.ZipFile(archive := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return archive.getvalue()


ARCHIVES = {
    "po.tar": tar_of, "po.zip": zip_of, "po.tgz": lambda files: gzip.compress(tar_of(files)),
    "po.txz": lambda files: lzma.compress(tar_of(files), preset=1), "po.tbz": lambda files: bz2.compress(tar_of(files)),
}  # fmt: skip
archives = pytest.mark.parametrize("name", sorted(ARCHIVES))


@pytest.mark.parametrize("content", [DUMP, TRACE], ids=["a dump", "a trace"])
def test_a_recording_is_stored_once_however_it_is_packed(run_fresh: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "po.txt").write_text(content)
    assert run_fresh("ingest", "po.txt").returncode == 0
    for name, pack in PACKED.items():
        (tmp_path / name).write_bytes(pack(content.encode()))
    for name, archive in ARCHIVES.items():
        (tmp_path / name).write_bytes(archive({"folder/another-name": content.encode()}))
    for name in (*PACKED, *ARCHIVES):
        for given, stdin in ((name, b""), ("-", (tmp_path / name).read_bytes())):
            done = run_fresh("ingest", given, stdin=stdin)
            assert done.returncode == 0, done.stderr
            assert "all stored before; nothing was added" in done.stderr
    assert len(streams(run_fresh)) == 1
    assert not list(tmp_path.rglob(".pagetrail*"))


@archives
def test_each_file_of_an_archive_is_a_recording(run_fresh: Run, tmp_path: Path, name: str) -> None:
    files = {f"{host}/{host}.txt": (DUMP + RECORD.format(pid)).encode() for host, pid in (("web1", 700), ("web2", 800))}
    (tmp_path / name).write_bytes(ARCHIVES[name](files | {"._web1.txt": b"\0\5\x16\7"}))
    done = run_fresh("ingest", name, "--json")
    assert done.returncode == 0, done.stderr
    assert "._web1.txt is left out" in done.stderr
    assert [found["source"] for found in json.loads(done.stdout)] == ["web1.txt", "web2.txt"]
    assert [row["host"] for row in streams(run_fresh)] == ["web1", "web2"]


@archives
def test_one_bad_file_of_an_archive_stops_no_other(run_fresh: Run, tmp_path: Path, name: str) -> None:
    inner = tar_of({"inner.txt": b"hidden"})
    files = {"bad.txt": b"Dear all", "inner.tar": inner, "good.txt": DUMP.encode()}
    (tmp_path / name).write_bytes(ARCHIVES[name](files))
    done = run_fresh("ingest", name)
    assert done.returncode == 2
    assert "good.txt: " in done.stderr
    assert "bad.txt: expected" in done.stderr
    assert "a tar archive within another file: unpack it" in done.stderr
    assert len(streams(run_fresh)) == 1


@archives
def test_of_a_cut_archive_what_is_whole_is_stored_and_the_cut_is_told(
    run_fresh: Run, tmp_path: Path, name: str
) -> None:
    long = "".join(RECORD.format(500 + i) for i in range(30_000)).encode()
    whole = ARCHIVES[name]({"first.txt": DUMP.encode(), "second.txt": long})
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    done = run_fresh("ingest", name)
    if name == "po.tbz":
        assert done.returncode in (0, 2)  # a block of bzip2 holds 900 kB: maybe none is whole
    else:
        assert done.returncode == 0, done.stderr
        assert "first.txt: " in done.stderr
        assert "second.txt: " in done.stderr
    assert "cut" in done.stderr


def test_a_tar_that_ends_between_two_files_is_told(run_fresh: Run, tmp_path: Path) -> None:
    whole = tar_of({"first.txt": DUMP.encode()})
    (tmp_path / "po.tar").write_bytes(whole[: -(-len(DUMP) // 512 + 1) * -512][: (1 + -(-len(DUMP) // 512)) * 512])
    done = run_fresh("ingest", "po.tar")
    assert done.returncode == 2
    assert "what follows its last file is missing" in done.stderr
    assert len(streams(run_fresh)) == 1


def test_an_encrypted_file_of_a_zip_is_refused(run_fresh: Run, tmp_path: Path) -> None:
    packed = bytearray(zip_of({"secret.txt": DUMP.encode(), "good.txt": DUMP.encode()}))
    for magic, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        packed[packed.find(magic) + at] |= 1
    (tmp_path / "po.zip").write_bytes(bytes(packed))
    done = run_fresh("ingest", "po.zip")
    assert done.returncode == 2
    assert "secret.txt: expected a file that can be read, found an encrypted one" in done.stderr
    assert len(streams(run_fresh)) == 1


def test_a_file_that_cannot_be_unpacked_is_named_and_stops_no_other(run_fresh: Run, tmp_path: Path) -> None:
    """A file where an earlier one of the archive would have to be a folder: no disk is full."""
    inner = "box/trace.txt/notes.txt"
    (tmp_path / "po.tar").write_bytes(
        tar_of({"box/hostname.txt": b"box", "box/trace.txt": TRACE.encode(), inner: b"-"})
    )
    done = run_fresh("ingest", "po.tar")
    assert done.returncode == 2
    assert f"{inner}: expected a file that can be unpacked, found: " in done.stderr
    assert len(streams(run_fresh)) == 1


@pytest.mark.parametrize("name", ["host-b.tar.xz", "host-b.zip"])
def test_a_capture_directory_in_an_archive_is_read_as_one(run: Run, run_fresh: Run, tmp_path: Path, name: str) -> None:
    files = {
        f"host-b/{path.relative_to(DEMO)}": path.read_bytes() for path in sorted(DEMO.rglob("*")) if path.is_file()
    }
    packed = lzma.compress(tar_of(files), preset=1) if name.endswith("xz") else zip_of(files)
    (tmp_path / name).write_bytes(packed)
    done = run_fresh("ingest", name)
    assert done.returncode == 0, done.stderr
    assert run_fresh("replay", "--no-correct").returncode == 0
    ((ours,), (theirs,)) = (json.loads(of("streams", "--json", "--no-correct").stdout) for of in (run_fresh, run))
    assert (ours["host"], ours["state_digest"]) == ("host-b", theirs["state_digest"])
    assert "nothing was added" in run_fresh("ingest", DEMO).stderr


def test_boots_in_a_file_of_an_archive_are_split(run_fresh: Run, tmp_path: Path) -> None:
    (tmp_path / "two.zip").write_bytes(zip_of({"trace.txt": (TRACE + TRACE.replace("  1.", "  0.")).encode()}))
    done = run_fresh("ingest", "two.zip")
    assert done.returncode == 2
    assert "--split-boots" in done.stderr
    assert run_fresh("ingest", "two.zip", "--split-boots").returncode == 0
    assert len(streams(run_fresh)) == 2


@pytest.mark.parametrize("at", ["mtime", "120s"])
def test_one_time_is_not_that_of_all_dumps_of_an_archive(run_fresh: Run, tmp_path: Path, at: str) -> None:
    """The file's time is that of the archive, when it was packed."""
    (tmp_path / "po.tar").write_bytes(tar_of({"a.txt": DUMP.encode()}))
    done = run_fresh("ingest", "po.tar", "--at", at)
    assert done.returncode == 2
    assert "this is an archive; unpack it" in done.stderr
