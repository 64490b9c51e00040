"""pagetrail doctor: what makes answers less sure."""

from pagetrail import api
from pagetrail.commands.options import (
    DEFAULT_TRAIL,
    CorrectOption,
    FoldOption,
    JsonOption,
    StreamOption,
    TrailOption,
    out,
    say_damage,
)
from pagetrail.text.json_text import json_text
from pagetrail.text.streams import findings_text


def doctor(
    trail: TrailOption = DEFAULT_TRAIL,
    stream: StreamOption = None,
    correct: CorrectOption = None,
    fold: FoldOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was lost, quarantined, inferred, not recorded or not understood."""
    opened = api.open(trail, correct=correct, fold=fold)
    rows = [] if stream else opened.streams().to_pylist()
    names = [stream] if stream else [f"{r['host']}/{r['boot_id']}" for r in rows if r["events"]]
    found = {name: opened.doctor(name).to_pylist() for name in names}
    unbegun = {f"{r['host']}/{r['boot_id']}": _held(r["held"]) for r in rows if not r["events"] and r["held"]}
    if as_json:
        out(json_text({
            name: {"findings": told, "quarantined": opened.quarantined(name).to_pylist()} for name, told in found.items()
        } | {name: {"findings": told, "quarantined": []} for name, told in unbegun.items()}))  # fmt: skip
    else:
        out("".join(findings_text(name, told) for name, told in (found | unbegun).items()))
    say_damage(opened, stream, everywhere=stream is None)


def _held(why: str) -> list[dict[str, object]]:
    """Return the one finding of a stream that replay could not begin."""
    return [{"level": "note", "what": "held", "count": 1, "detail": why}]
