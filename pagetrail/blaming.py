"""Errors over rows that no segment has are the damage of a file of the store, and not errors of ours."""

from collections.abc import Callable, Iterator
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from pagetrail.replay.store.reading.lies import LIES

Asked = TypeVar("Asked", bound=type)


def blames_files(asked: Asked) -> Asked:
    """Return a class whose methods ask ``_check_files`` before an error of no kind of ours leaves them.

    It raises if a file that was read is not whole.
    """
    for name, method in [*vars(asked).items()]:
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(asked, name, _blaming(method))
    return asked


def _blaming(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def blaming(self: Any, *given: Any, **named: Any) -> Any:
        try:
            found = method(self, *given, **named)
        except LIES:
            self._check_files()
            raise
        return _drawn(self, found) if isinstance(found, Iterator) else found

    return blaming


def _drawn(asked: Any, parts: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from parts
    except LIES:
        asked._check_files()  # of the class that this is part of
        raise
