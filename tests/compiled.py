"""``python -m tests.compiled``: compile what the tests call, once; else every process that is first would, each by itself."""

import io
import pkgutil
import random
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import pagetrail
from pagetrail.producers.formats.format import Block
from pagetrail.producers.formats.interning import new_interner
from pagetrail.producers.formats.page_owner.alone import PageOwnerFile
from pagetrail.producers.formats.text.blocks import MergedBlocks, Survey
from pagetrail.producers.formats.text.ftrace import FtraceText
from pagetrail.producers.formats.text.perf_script import PerfScript
from pagetrail.producers.synth.load import Load
from pagetrail.producers.synth.text import text_blocks
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
    Survey(FTRACE).feed(memoryview(FTRACE))
    MergedBlocks(io.BytesIO(FTRACE), [Block(start=0, stop=None)]).read()
    new_interner(1, 1).grow()
    list(text_blocks(Load(events=1).host(1), "ftrace"))


def jit_functions() -> dict[str, bool]:
    """Return, for each entry point that Python calls, whether this process has compiled or loaded it."""
    found = {}
    for module in pkgutil.walk_packages(pagetrail.__path__, "pagetrail."):
        if module.name.endswith("_jit"):
            for name, value in vars(import_module(module.name)).items():
                entry = getattr(value, "py_func", None)
                if entry is not None and entry.__module__ == module.name and value.targetoptions.get("cache"):
                    found[f"{module.name}.{name}"] = bool(value.overloads)
    return found


def compiled(part: Callable[[], None]) -> set[str]:
    """Compile one *part*; return the entry points that are still to be compiled."""
    part()
    return {name for name, there in jit_functions().items() if not there}


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        left = set.intersection(*pool.map(compiled, [replay, producers]))
    if left:
        sys.exit(
            f"tests.compiled: expected that every jit function is compiled here, found that these are not: {sorted(left)}"
        )
