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
    names = [stream] if stream else [f"{r['host']}/{r['boot_id']}" for r in rows if r["events"] is not None]
    found = {name: opened.doctor(name).to_pylist() for name in names}
    if as_json:
        out(json_text({
            name: {"findings": rows, "quarantined": opened.quarantined(name).to_pylist()} for name, rows in found.items()
        }))  # fmt: skip
    else:
        out("".join(findings_text(name, rows) for name, rows in found.items()))
    say_damage(opened, stream, everywhere=stream is None)
