"""What readers and the fold take for events that change no owner has the versions of both."""

import json
from hashlib import blake2b

from pagetrail.producers.recording_info import READER
from pagetrail.schemas.linux import other_events
from pagetrail.schemas.store.tables import FOLD_VERSION

LISTS = {
    (2, 4): "f9a12a5feccf1b5e", (3, 5): "f9a12a5feccf1b5e", (4, 5): "f9a12a5feccf1b5e", (5, 6): "f9a12a5feccf1b5e",
    (5, 7): "f9a12a5feccf1b5e", (6, 7): "ff285f50643ddc69", (6, 8): "ff285f50643ddc69",
    (6, 9): "ff285f50643ddc69", (7, 9): "ff285f50643ddc69",
}  # fmt: skip
"""By the version of the readers and of the fold, the digest of the lists of names. A changed list takes a version that is new:
a reader gives other losses for the same bytes, and the fold finds other losses in what older readers ignored."""


def test_other_names_of_events_are_another_version_of_readers_and_fold() -> None:
    lists = [
        sorted(other_events.NOTHING_NEW), sorted(other_events.NOTHING_NEW_PREFIXES), sorted(other_events.TELLING_WORDS)
    ]  # fmt: skip
    digest = blake2b(json.dumps(lists).encode(), digest_size=8).hexdigest()
    assert LISTS.get((READER, FOLD_VERSION)) == digest, (
        "another list: raise READER and FOLD_VERSION, and add a line to LISTS"
    )
