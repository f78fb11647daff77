"""Random damage to files, as disks, transfers and strangers do it; a function of a generator."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

# What may stand where a number or a text was.
ODD = [
    *(0, -1, 1, 7, 10**6, 10**12, 10**30, -(10**18), 0.5, 1e308, float("nan"), float("inf")),
    *("", "abc", "../../etc/passwd", "é" * 50, None, True, [], {}, [[[]]], {"a": {"b": 1}}),
]


def damage(product: Path, draw: Random) -> str:
    """Damage one file of a file or folder; returns a word on what was done."""
    files = sorted(file for file in [product, *product.rglob("*")] if file.is_file())
    file = draw.choice(files)
    ways: list[Callable[[Path, Random], str]] = [
        flip,
        flip,
        flip,
        cut,
        blank,
        blank,
        insert,
        remove,
        pipe,
        empty,
    ]
    if file.suffix in (".json", ".yaml", ".meta"):
        ways = [*ways, swap_number, *([change_json] * 8 if file.suffix == ".json" else [])]
    if not product.is_dir():
        ways = [way for way in ways if way is not remove]
    way = draw.choice(ways)
    return f"{way(file, draw)} in {file.relative_to(product.parent)}"


def flip(file: Path, draw: Random) -> str:
    """Flip a few bits."""
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 1, 8)) if content else 0):
        flip_bit(content, draw)
    file.write_bytes(content)
    return "flipped bits"


def flip_bit(content: bytearray, draw: Random) -> None:
    """Flip one bit in place."""
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def cut(file: Path, draw: Random) -> str:
    """Cut the end off."""
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(max(len(content), 1))])
    return "a cut"


def blank(file: Path, draw: Random) -> str:
    """Replace a stretch by zeros, as a disk does that lost a block."""
    content = bytearray(file.read_bytes())
    start = draw.randrange(max(len(content), 1))
    stop = min(start + draw.choice((4, 64, 4096)), len(content))
    content[start:stop] = bytes(stop - start)
    file.write_bytes(content)
    return "zeros"


def insert(file: Path, draw: Random) -> str:
    """Insert bytes."""
    content = file.read_bytes()
    place = draw.randrange(len(content) + 1)
    junk = draw.choice((draw.randbytes(8), b"[" * 50_000, b"9" * 10_000, b"\xff\xfe"))
    file.write_bytes(content[:place] + junk + content[place:])
    return "inserted bytes"


def remove(file: Path, draw: Random) -> str:
    """Remove the file."""
    file.unlink()
    return "a missing file"


def empty(file: Path, draw: Random) -> str:
    """Leave no byte."""
    file.write_bytes(b"")
    return "an empty file"


def pipe(file: Path, draw: Random) -> str:
    """Put a pipe in place of the file; to open one waits for ever."""
    file.unlink()
    os.mkfifo(file)
    return "a pipe"


def swap_number(file: Path, draw: Random) -> str:
    """Replace one number of a text."""
    text = file.read_text()
    numbers = [*re.finditer(r"(?<![\w.])-?\d+(\.\d+)?(?![\w.])", text)]
    if not numbers:
        return cut(file, draw)
    number = draw.choice(numbers)
    new = str(draw.choice([one for one in ODD if not isinstance(one, dict | list)]))
    file.write_text(text[: number.start()] + new + text[number.end() :])
    return f"{number[0][:20]} changed to {new[:20]}"


def change_json(file: Path, draw: Random) -> str:
    """Replace, remove or repeat one value of a JSON file."""
    content = json.loads(file.read_text())
    holders = [holder for holder in _holders(content) if holder]
    holder = draw.choice(holders)
    key = draw.choice([*holder]) if isinstance(holder, dict) else draw.randrange(len(holder))
    if draw.random() < 0.2:
        del holder[key]
        what = f"{key} removed"
    else:
        holder[key] = draw.choice(ODD)
        what = f"{key} changed to {str(holder[key])[:20]}"
    file.write_text(json.dumps(content))
    return what


def _holders(value: Any) -> list[Any]:
    """All objects and lists in a JSON value."""
    if not isinstance(value, dict | list):
        return []
    below = value.values() if isinstance(value, dict) else value
    return [value, *(holder for one in below for holder in _holders(one))]
