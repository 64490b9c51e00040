"""Which owners with one pid are one process: a pid is used again."""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pagetrail.schemas.owner import ABSENT64

UNKNOWN: Final = -1
"""A tgid or a name that is not known."""

Ints = NDArray[np.int64]


def processes(pid: Ints, tgid: Ints, name: Ints, born: Ints) -> tuple[Ints, Ints]:
    """Return the tgid and the name of the process of each of n rows.

    Rows with one pid and two tgids are two processes. A thread with a pid of its own is of its process, whatever it is called. A
    process with two names is one if it has the first again after the second; names that only follow one another are taken for two
    processes, as a pid that is used again and an exec look the same. Rows that lack one of these go with those before them in time.

    Parameters
    ----------
    pid
        (n,) thread ids.
    tgid, name
        (n,) process ids, and numbers of names; ``UNKNOWN`` where they are not known.
    born
        (n,) when the pages were allocated, ns; ``ABSENT64`` where that is not known.
    """
    order = np.lexsort((name, born, pid))
    tgids, names = tgid[order], name[order]
    begins = np.flatnonzero(np.diff(pid[order], prepend=pid[order][:1] - 1))
    for begin, end in pairwise([*begins.tolist(), order.size]):
        rows = slice(begin, end)
        if np.ptp(tgids[rows]) or np.ptp(names[rows]):
            tgids[rows] = _filled(tgids[rows])
            names[rows] = _names(int(pid[order[begin]]), tgids[rows], names[rows], born[order[rows]])
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return tgids[back], names[back]


def _filled(values: Ints) -> Ints:
    """Return values in order of time; one that is unknown is that of the row before, at the beginning that of the row behind."""
    known = np.flatnonzero(values != UNKNOWN)
    if not known.size:
        return values
    place = np.searchsorted(known, np.arange(values.size), side="right") - 1
    return np.asarray(values[known[np.maximum(place, 0)]])


def _names(pid: int, tgids: Ints, names: Ints, born: Ints) -> Ints:
    """Return the last name of the process of each row; all rows have one *pid*, and are in order of time."""
    found = names.copy()
    for tgid in np.unique(tgids).tolist():
        rows = np.flatnonzero(tgids == tgid)
        if tgid not in (UNKNOWN, pid):
            named = rows[names[rows] != UNKNOWN]
            found[rows] = names[named[-1]] if named.size else UNKNOWN
        else:
            found[rows] = _last_names(names[rows], born[rows])
    return found


def _last_names(names: Ints, born: Ints) -> Ints:
    """Return the last name of each row's process: names whose times overlap are of one."""
    filled = _filled(names)
    last_of = {name: name for name in np.unique(filled).tolist()}
    times = {name: at for name in last_of if (at := born[(filled == name) & (born != ABSENT64)]).size}
    group: list[int] = []
    reach = newest = UNKNOWN
    for first, last, name in sorted((int(at[0]), int(at[-1]), name) for name, at in times.items()):
        if not group or first >= reach:
            group, reach, newest = [], last, name
        group.append(name)
        if last > reach:
            reach, newest = last, name
        last_of |= dict.fromkeys(group, newest)
    return np.array([last_of[name] for name in filled.tolist()], np.int64)
