"""Capture directories that a test makes."""

import pytest

from tests.producers.capture.capture_samples import FILES


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a capture of FILES with changes; None leaves a file out."""

    def make(name="capture", **changes):
        files = FILES | {key.replace("__", "/").replace("_TXT", ".txt"): text for key, text in changes.items()}
        directory = tmp_path / name
        for file, text in files.items():
            if text is not None:
                (path := directory / file).parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return directory

    return make
