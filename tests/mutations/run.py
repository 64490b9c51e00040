"""Run tests with one rule of the fold disabled: ``python -m tests.mutations.run NAME``; exit 1: a test noticed, 0: none did.

With ``--none NAME...`` no rule is disabled, and the tests of these mutations run in the same way: exit 0, or no failure says
anything of a rule.

The module is compiled from a changed source as it is imported; no file is written. The JIT is off, so that kernels are what their
source says.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutations.rules import MUTATIONS, Mutation

NONE = "--none"
"""In place of a mutation's name: none, the rules as they are."""


class _Loader(SourceFileLoader):
    """Loads a module from a source that a mutation has changed."""

    mutation: Mutation

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - as the base class has it
        """Return the code of the changed source, never that of a cache."""
        return compile(self.mutation.changed(Path(self.path).read_text()), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the one module that is changed."""

    def __init__(self, mutation: Mutation) -> None:
        self.mutation = mutation

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - as the base class has it
    ) -> ModuleSpec | None:
        """Return the spec of the changed module; of any other, nothing."""
        if fullname != self.mutation.module:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.mutation = self.mutation
        return ModuleSpec(fullname, loader, origin=spec.origin)


def main(name: str, *others: str) -> int:
    """Run the tests of a mutation; return pytest's exit code, 1 where a test failed, or 2 where there is no such mutation.

    *others* are the mutations whose tests run where *name* says that there is none.
    """
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "unshrunk"}
    wanted = {*others} if name == NONE else {name}
    chosen = [one for one in MUTATIONS if one.name in wanted]
    if not chosen or len(chosen) < len(wanted):
        print(
            f"expected the name of a mutation, or {NONE} NAME...; found: {' '.join((name, *others))}", file=sys.stderr
        )
        return 2
    if name != NONE:
        sys.meta_path.insert(0, _Finder(chosen[0]))
    import pytest

    options = ["-x", "-q", "--no-header", "--assert=plain", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return int(pytest.main([*options, *dict.fromkeys(test for one in chosen for test in one.tests)]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
