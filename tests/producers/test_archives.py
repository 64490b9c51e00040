"""Archives: their files one after another, whatever packs them, and of a damaged one as many as there are."""

import functools
import io
import os
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from pagetrail.producers import archives as archives_module
from pagetrail.producers.archives import TarMembers, archive_kind, open_archive
from pagetrail.producers.inputs import open_input, source_of
from pagetrail.schemas.errors import InputError

TEXT = b"".join(b"line %d of a recording\n" % i for i in range(200_000))
FILES = {"a.txt": TEXT, "folder/b.txt": os.urandom(30_000), "empty": b"", "c": b"the last one\n"}


def tar_of(files, form=tarfile.PAX_FORMAT):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=form) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


class Unseekable(io.BytesIO):
    def seekable(self):
        return False

    def tell(self):
        raise OSError("a pipe")


def zip_of(files, method=zipfile.ZIP_DEFLATED, stream=io.BytesIO):
    with zipfile.ZipFile(archive := stream(), "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return archive.getvalue()


PACKED = {
    "pax": lambda: tar_of(FILES),
    "gnu": lambda: tar_of(FILES, tarfile.GNU_FORMAT),
    "ustar": lambda: tar_of(FILES, tarfile.USTAR_FORMAT),
    "deflated": lambda: zip_of(FILES),
    "stored": lambda: zip_of(FILES, zipfile.ZIP_STORED),
    "bzip2": lambda: zip_of(FILES, zipfile.ZIP_BZIP2),
    "lzma": lambda: zip_of(FILES, zipfile.ZIP_LZMA),
    "written to a pipe": lambda: zip_of(FILES, stream=Unseekable),
}
WITHOUT_DIRECTORY_UNREAD = ("bzip2", "lzma")

archives = pytest.mark.parametrize("form", PACKED)


@functools.cache
def packed(form):
    """Return FILES as an archive: made when a test asks for it, as every process imports this file."""
    return PACKED[form]()


def read(path: Path):
    """Return the bytes of an archive's files by name, the name of the one that is cut, and why more may be missing."""
    found, cut = {}, None
    with closing(open_archive(source_of(path), archive_kind(path.read_bytes()[:512]))) as archive:
        for file in archive.files():
            found[file.name] = b"".join(iter(lambda file=file: file.read(10_000), b""))
            if file.truncated:
                cut = file.name
    return found, cut, archive.broken


@archives
def test_every_file_is_read_in_its_order(tmp_path, form):
    (path := tmp_path / "archive").write_bytes(packed(form))
    found, cut, broken = read(path)
    assert list(found.items()) == list(FILES.items())
    assert (cut, broken) == (None, None)


@archives
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
def test_an_archive_cut_anywhere_gives_what_is_before_and_tells_of_the_cut(tmp_path, form, share):
    content = packed(form)
    (path := tmp_path / "archive").write_bytes(content[: int(len(content) * share)])
    if form in WITHOUT_DIRECTORY_UNREAD:
        with pytest.raises(InputError, match="lost its directory"):
            read(path)
        return
    found, cut, broken = read(path)
    assert broken is not None
    for name, read_back in found.items():
        assert FILES[name] == read_back or (name == cut and FILES[name].startswith(read_back))


def test_a_tar_cut_between_two_files_tells_of_it(tmp_path):
    content = tar_of({"a": b"x" * 512, "b": b"y" * 512}, tarfile.USTAR_FORMAT)
    (path := tmp_path / "archive").write_bytes(content[:1024])
    found, cut, broken = read(path)
    assert (list(found), cut) == (["a"], None)
    assert broken is not None


def test_a_damaged_header_is_not_the_end_of_a_tar(tmp_path):
    content = bytearray(tar_of({"a": b"x" * 512, "b": b"y" * 512}, tarfile.USTAR_FORMAT))
    content[1024 + 10] ^= 1
    (path := tmp_path / "archive").write_bytes(bytes(content))
    found, _, broken = read(path)
    assert list(found) == ["a"]
    assert broken is not None


def test_a_damaged_file_of_a_zip_says_so_and_the_others_stand(tmp_path):
    content = bytearray(zip_of(FILES, zipfile.ZIP_STORED))
    content[1000] ^= 1
    (path := tmp_path / "archive").write_bytes(bytes(content))
    found, cut, broken = read(path)
    assert (cut, broken) == ("a.txt", None)
    assert found["c"] == FILES["c"]


def test_links_are_named(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        link = tarfile.TarInfo("dump.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        tar.addfile(link)
    (path := tmp_path / "archive").write_bytes(archive.getvalue())
    opened = open_archive(source_of(path), "tar")
    assert list(opened.files()) == []
    assert opened.left_out == ["dump.txt"]


def test_a_text_is_no_archive():
    assert archive_kind(TEXT) is None
    assert archive_kind(b"") is None
    assert archive_kind(bytes(512)) is None


def make_archive(path, names):
    path.write_bytes(zstandard.ZstdCompressor().compress(tar_of(dict.fromkeys(names, TEXT))))


@pytest.mark.parametrize("order", ["abc", "cba", "bbac"])
def test_members_are_read_in_whatever_order_they_are_asked_for(tmp_path, order):
    make_archive(path := tmp_path / "dumps.tar.zst", "abc")
    members = TarMembers(path)
    assert members.names == ("a", "b", "c")
    assert members.truncated is None
    for name in order:
        assert read_all(members.open(name)) == TEXT
    members.close()


def test_members_in_their_order_are_unpacked_once(tmp_path, monkeypatch):
    make_archive(path := tmp_path / "dumps.tar.zst", "abc")
    members, opened = TarMembers(path), []
    monkeypatch.setattr(archives_module, "open_input", lambda path: opened.append(path) or open_input(path))
    for name in "abc":
        assert read_all(members.open(name)) == TEXT
    assert len(opened) == 1
    members.close()


def test_of_joined_archives_the_second_is_told(tmp_path):
    (path := tmp_path / "archive.tar").write_bytes(tar_of({"a": TEXT}) + tar_of({"b": TEXT}))
    found, cut, broken = read(path)
    assert (list(found), cut) == (["a"], None)
    assert "joined" in broken


def test_what_is_damaged_in_a_zip_without_its_directory_is_told(tmp_path):
    content = bytearray(zip_of({"a": TEXT, "b": b"y" * 100}, zipfile.ZIP_STORED))
    content[len(TEXT) // 2] ^= 1
    (path := tmp_path / "archive.zip").write_bytes(content[:-60])
    found, cut, broken = read(path)
    assert (list(found), cut) == (["a", "b"], "a")
    assert broken is not None


def test_a_zip_of_a_later_version_is_read_by_its_headers_or_refused(tmp_path):
    content = bytearray(zip_of({"a": TEXT}))
    entry = content.rindex(b"PK\1\2")
    content[entry + 6 : entry + 8] = b"\xff\0"  # the version that is needed to extract it
    (path := tmp_path / "archive.zip").write_bytes(content)
    found, cut, broken = read(path)
    assert (found, cut) == ({"a": TEXT}, None)
    assert broken is not None


def read_all(file):
    return b"".join(iter(lambda: file.read(1 << 20), b""))


def test_a_member_that_is_not_there_is_an_input_error(tmp_path):
    make_archive(path := tmp_path / "dumps.tar.zst", "a")
    with pytest.raises(InputError, match="member b"):
        TarMembers(path).open("b")


def test_of_an_archive_cut_short_the_whole_members_are_read(tmp_path):
    make_archive(path := tmp_path / "dumps.tar.zst", "abc")
    path.write_bytes(path.read_bytes()[:-100])
    members = TarMembers(path)
    assert members.truncated is not None
    assert read_all(members.open("a")) == TEXT
    members.close()


def test_of_the_member_that_is_cut_what_is_there_is_read_and_the_cut_told(tmp_path):
    (path := tmp_path / "dumps.tar").write_bytes(tar_of({"a": TEXT})[: len(TEXT) // 2])
    members = TarMembers(path)
    found = members.open("a")
    assert TEXT.startswith(read_all(found))
    assert found.truncated is not None


def header(kind, size, name="x"):
    """Return a header of a tar archive."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT)


FIRST = header(tarfile.REGTYPE, len(TEXT), "a") + TEXT + bytes(-len(TEXT) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_tar_that_is_larger_than_any_is_not_read(tmp_path, kind):
    size = archives_module.MOST_HEADER_BYTES + 1
    (path := tmp_path / "archive.tar").write_bytes(FIRST + header(kind, size) + bytes(size + 10240))
    found, _, broken = read(path)
    assert list(found) == ["a"]
    assert "a header has" in broken


def test_headers_of_headers_end_somewhere(tmp_path):
    (path := tmp_path / "archive.tar").write_bytes(header(tarfile.XHDTYPE, 0) * 3000 + bytes(10240))
    found, _, broken = read(path)
    assert (found, bool(broken)) == ({}, True)


def test_a_file_with_holes_is_left_out_and_named(tmp_path):
    sparse = header(tarfile.GNUTYPE_SPARSE, 0, "holes")
    (path := tmp_path / "archive.tar").write_bytes(FIRST + sparse + bytes(10240))
    opened = open_archive(source_of(path), "tar")
    assert [file.name for file in opened.files()] == ["a"]
    assert opened.left_out == ["holes"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_of_a_zip_that_expands_as_no_recording_does_is_cut(tmp_path, monkeypatch, method):
    monkeypatch.setattr(archives_module, "EXPANDED_BYTES", 1 << 20)
    monkeypatch.setattr(archives_module, "MOST_EXPANDED", 100)
    (path := tmp_path / "archive.zip").write_bytes(zip_of({"a": bytes(20 << 20)}, method))
    found, cut, _ = read(path)
    assert cut == "a"
    assert len(found["a"]) <= 3 << 20


def test_members_asked_for_backwards_are_unpacked_a_few_times_only(tmp_path, monkeypatch):
    names = [f"{n:03}" for n in range(60)]
    make_archive(path := tmp_path / "dumps.tar.zst", names)
    members, opened = TarMembers(path), []
    monkeypatch.setattr(archives_module, "open_input", lambda path: opened.append(path) or open_input(path))
    for name in reversed(names):
        assert read_all(members.open(name)) == TEXT
    assert len(opened) < 6
    members.close()
