"""What files say about a setting."""

from __future__ import annotations

from typing import Any, NamedTuple


class Finding(NamedTuple):
    """The value of a setting, and why; `check`: the files do not settle it."""

    value: Any
    why: str
    check: bool = False
