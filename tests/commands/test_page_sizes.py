"""Pages that are not 4 KiB."""

from pathlib import Path

import pytest

from pagetrail.schemas.columns import Kind
from pagetrail.schemas.details import Boot
from tests.commands.cli import run
from tests.replay.states import replay, trail_of
from tests.replay.strategies import Machine, to_frames


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Return the trail of a machine with pages of 64 KiB, as arm64 may have them: somebody owns page 0x180."""
    m = Machine()
    m.recordings.append([])
    m.reference.apply = lambda event: None  # type: ignore[method-assign]
    m.emit(Kind.BOOT, Boot(release="6.1.0", arch="aarch64", page_shift=16, section_size_bits=29))
    m.emit(Kind.ALLOC, pfn=0x180, order=0, gfp_mask=0xCC0, pid=42)
    m.end()
    made = trail_of(tmp_path / "trail", to_frames(m.recordings))
    replay(made)
    return made


@pytest.mark.parametrize("address", ["0x1800000", "0x180ffff", str(0x1804321)])
def test_a_physical_address_is_shifted_by_the_page_size_of_the_recordings_boot(trail: Path, address: str) -> None:
    owner = run("owner", "--paddr", address, "--at", "-0s", "--trail", trail)
    assert owner.out == run("owner", "0x180", "--at", "-0s", "--trail", trail).out
    assert "pid 42" in owner.out
    for follow in ((), ("--follow",)):
        history = run("history", "--paddr", address, *follow, "--trail", trail)
        assert history.out == run("history", "0x180", *follow, "--trail", trail).out
        assert " 42 " in history.out
