"""A process that appends: ``python -m tests.contracts.appender BACKEND PLACE RECORDING FRAMES PER_APPEND EVENTS``.

It says the number of the first frame of each append before it begins, and ``done`` at the end.
"""

import sys
from pathlib import Path

from tests.contracts.backends import BACKENDS, a_frame


def main(backend: str, place: str, recording: str, frames: str, per_append: str, events: str) -> None:
    """Append *frames* frames of *recording*, *per_append* at a time."""
    writer = BACKENDS[backend].writer(Path(place))
    step = int(per_append)
    for first in range(0, int(frames), step):
        made = [a_frame(recording, number, int(events)) for number in range(first, min(first + step, int(frames)))]
        print(first, flush=True)
        writer.append(made)
    writer.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
