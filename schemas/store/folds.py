"""Which of a trail's folds answers: the one that is named, else the automatic one that dumps correct, if it is there."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pagetrail.schemas.errors import BadArgument, NotFound
from pagetrail.schemas.store.names import RULES


def chosen_fold(
    folds: Collection[str], trail: Path, automatic: Mapping[bool, str], *, correct: bool | None, fold: str | None
) -> str:
    """Return which of the *folds* that are in the store of *trail* answers.

    *automatic* are the folds by the rules of the recorded kernel, by whether dumps correct them. *fold* names the one to ask. Else
    *correct* says whether the kernel's dumps corrected it; null: the one that they did, if there is one. Of several such folds, the
    automatic one answers.

    Raises
    ------
    BadArgument
        Both *fold* and *correct* choose.
    NotFound
        It is not there, or several are and none of them is the automatic one; the message lists those that are there.
    """
    if fold is not None and correct is not None:
        raise BadArgument(
            "--fold cannot be used with --correct or --no-correct: a fold's name says whether dumps corrected it"
        )
    listed = ", ".join(sorted(folds))
    if fold is not None:
        if fold in folds:
            return fold
        raise NotFound(f"{trail}: no fold is called {fold}; the trail has: {listed or 'none'}")
    kinds = (True, False) if correct is None else (correct,)
    found = next((automatic[kind] for kind in kinds if automatic[kind] in folds), None)
    if found is not None:
        return found
    for kind in kinds:
        by_option = [name for name in folds if name.startswith(automatic[kind] + RULES)]
        if len(by_option) == 1:
            return by_option[0]
        if by_option:
            raise NotFound(f"{trail}: several folds are there, and none has the rules of the recorded kernel; choose one with "
                           f"--fold NAME: {listed}")  # fmt: skip
    flag = " --no-correct" if correct is False else ""
    others = f" as {' or '.join(automatic[kind] for kind in kinds)}, only as {listed}" if folds else ""
    raise NotFound(
        f"{trail}: nothing has been replayed yet{others}; run 'pagetrail replay{flag}', or wait for the replay that is running"
    )
