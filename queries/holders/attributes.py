"""The attributes of owners that sums are made by. This file imports nothing: every command reads it for its options."""

from typing import Final, Literal, get_args

By = Literal["stack", "comm", "pid", "tgid", "gfp", "order", "migratetype", "cgroup"]
"""An attribute of an owner."""

BY: Final = get_args(By)

ByOfAll = By | Literal["host"]
"""What sums over streams are made by."""
