"""What is shipped: the package with its four rooms as real files, all of their data, and nothing beside it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_house import ROOMS, tree_files

BUILD = """
import sys
from setuptools import build_meta
_, out, *kinds = sys.argv  # building replaces argv
for kind in kinds:
    getattr(build_meta, f"build_{kind}")(out)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree: building writes beside the sources."""
    copy = tmp_path_factory.mktemp("tree")
    for file in tree_files():
        target = copy / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    for room in ROOMS:
        (copy / "pagetrail" / room).symlink_to(f"../{room}")
    return copy


def build(tree: Path, out: Path, *kinds: str) -> None:
    """Build the *kinds* of distribution in place, without the network."""
    subprocess.run([sys.executable, "-c", BUILD, out, *kinds], cwd=tree, check=True, capture_output=True)


@pytest.fixture(scope="module")
def distributions(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the sdist of the tree."""
    out = tmp_path_factory.mktemp("dist")
    build(tree, out, "sdist", "wheel")
    return out


@pytest.fixture(scope="module")
def wheel_names(distributions: Path) -> set[str]:
    """Return what the wheel holds, its own metadata aside."""
    return names_of(distributions)


def names_of(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel_names: set[str]) -> None:
    expected = set()
    for file in tree_files():
        name = file.relative_to(REPOSITORY)
        if name.parts[0] in ROOMS:
            expected.add(f"pagetrail/{name}")
        elif name.parts[0] == "pagetrail":
            expected.add(str(name))
    assert wheel_names == expected


def test_the_wheel_brings_one_top_level_name(wheel_names: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel_names} == {"pagetrail"}
    assert "pagetrail/schemas/errors.py" in wheel_names


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_tree(
    distributions: Path, wheel_names: set[str], tmp_path: Path
) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert not any(entry.issym() or entry.islnk() for entry in archive)
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    out = tmp_path / "dist"
    build(unpacked, out, "wheel")
    assert names_of(out) == wheel_names
