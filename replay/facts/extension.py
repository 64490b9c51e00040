"""One extension of a section, as the facts of a stream keep it."""

from dataclasses import dataclass

from pagetrail.schemas.owner import OPEN_END


@dataclass(slots=True, kw_only=True)
class Extension:
    """One extension of one section, from its allocation to its end."""

    section_nr: int
    generation: int
    begin_seq: int
    begin_ts: int
    end_seq: int = OPEN_END
    end_ts: int = OPEN_END
    how: str
    end_how: str | None = None
