"""``python -m tests.compiled``: compile what the tests call, once; else every process that is first would, each by itself."""

import io
import random
from concurrent.futures import ProcessPoolExecutor

from pagetrail.producers.formats.page_owner.alone import PageOwnerFile
from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.replay.run.warm import compile_jit_functions
from tests.producers.formats.test_page_owner import FORMS
from tests.producers.formats.text_samples import FTRACE, PERF
from tests.replay.states import folded
from tests.replay.strategies import history, to_frames


def replay() -> None:
    """Compile what replay calls, with the types that it has in long histories."""
    compile_jit_functions()
    for seed in range(2):
        folded(to_frames(history(random.Random(seed).randbytes(1_500)).recordings), kept=False)


def producers() -> None:
    """Compile what the parsers call."""
    for parser in (
        FtraceText(io.BytesIO(FTRACE), source="-"),
        PerfScript(io.BytesIO(PERF), source="-"),
        PageOwnerFile(io.BytesIO(FORMS), source="-"),
    ):
        list(parser.batches())


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        for compiled in [pool.submit(replay), pool.submit(producers)]:
            compiled.result()
