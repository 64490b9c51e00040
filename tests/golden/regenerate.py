"""Write the golden events anew: ``python tests/golden/regenerate.py``. Review the difference: it is a change of meaning.

Each file holds the events that the golden frame of a version decodes to, in the current version's shape.
"""

import json
from pathlib import Path

from pagetrail.schemas.events import batch_row_to_event
from pagetrail.schemas.frames import decode_frame
from pagetrail.schemas.publish import VERSIONS, published

if __name__ == "__main__":
    for version in VERSIONS:
        content = published(f"v{version}.frame")
        assert content is not None
        _, batch = decode_frame(content)
        events = [
            batch_row_to_event(batch, row).model_dump(mode="json", exclude_none=True) for row in range(len(batch))
        ]
        lines = ",\n".join(f"  {json.dumps(event, ensure_ascii=False)}" for event in events)
        Path(__file__).with_name(f"v{version}.decoded.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
