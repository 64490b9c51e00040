"""pagetrail: who owned this page then, how do we know, and how sure are we?

>>> import pagetrail
>>> trail = pagetrail.open("trail")                          # doctest: +SKIP
>>> trail.owner([0x1a2b3], at="@3-hotplugged").to_pylist()   # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from pagetrail.version import __version__

if TYPE_CHECKING:
    from pagetrail.api import Trail, open  # noqa: A004  # pagetrail.open reads well

__all__ = ["Trail", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """Load the API when it is first asked for: the rooms import this package for its version alone."""
    if name in ("Trail", "open"):
        from pagetrail import api

        return getattr(api, name)
    raise AttributeError(f"module 'pagetrail' has no attribute {name!r}")
