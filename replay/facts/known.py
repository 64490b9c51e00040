"""Facts that questions are asked of: they change no more, so what follows from them is found out once."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pagetrail.replay.facts.coverage import Coverage
from pagetrail.replay.facts.facts import Facts
from pagetrail.replay.facts.gfp import GfpNames
from pagetrail.schemas.details import Boot, Zone
from pagetrail.schemas.linux.releases import KernelRules

Found = TypeVar("Found")


class KnownFacts(Facts):
    """Facts that do not change, and remember what follows from them."""

    @classmethod
    def of(cls, facts: Facts) -> "KnownFacts":
        """Return *facts*, which nobody changes from now on."""
        return cls(**{field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)})

    def once(self, name: str, make: Callable[[], Found]) -> Found:
        """Return what *make* returns, or returned under this *name*."""
        if name not in self._made:
            self._made[name] = make()
        found: Found = self._made[name]
        return found

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}

    @cached_property
    def boot(self) -> Boot | None:
        """See ``Facts``."""
        return super().boot

    @cached_property
    def zones(self) -> tuple[Zone, ...]:
        """See ``Facts``."""
        return super().zones

    @cached_property
    def rules(self) -> KernelRules:
        """See ``Facts``."""
        return super().rules

    @cached_property
    def gfp_flags(self) -> Mapping[str, int]:
        """See ``Facts``."""
        return super().gfp_flags

    @cached_property
    def counting_clock(self) -> str | None:
        """See ``Facts``."""
        return super().counting_clock

    @cached_property
    def dumps_in_order_since(self) -> int | None:
        """See ``Facts``."""
        return super().dumps_in_order_since

    def gfp_names(self) -> list[GfpNames]:
        """See ``Facts``."""
        return self.once("gfp_names", super().gfp_names)

    def recording_at(self, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """See ``Facts``."""
        if len(self.recordings) <= 1:
            return np.zeros(ts.shape, np.int64)
        return super().recording_at(ts)

    def presumed(self) -> Facts:
        """See ``Facts``."""
        return self.once("presumed", super().presumed)

    def clock_skew(self) -> int:
        """See ``Facts``."""
        return self.once("clock_skew", super().clock_skew)

    def covered(self) -> Coverage:
        """See ``Facts``."""
        return self.once("covered", super().covered)


def once(facts: Facts, name: str, make: Callable[[], Found]) -> Found:
    """Return what *make* returns; it is remembered by facts that do not change."""
    return facts.once(name, make) if isinstance(facts, KnownFacts) else make()
