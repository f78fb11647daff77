"""The commands that README and documentation show, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("halocline", "make", "python", "accelerate", "pip")
FENCE = re.compile(r"^ *```(?P<language>\w*).*\n(?P<text>(?:.*\n)*?) *```$", flags=re.M)
INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})\s[^`]+)`")


@dataclass(frozen=True)
class Shown:
    """A command on a page.

    words: the program and what follows, without the comment
    comment: what the fence says of it after `#`
    fenced: in a block of commands, to be typed as it is; otherwise named within a sentence
    """

    page: str
    words: tuple[str, ...]
    comment: str
    fenced: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """README, CONTRIBUTING and all pages of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


def shown_commands() -> list[Shown]:
    """All commands on all pages, each once per page."""
    return list(dict.fromkeys(command for page in pages() for command in shown_on(page)))


def shown_on(page: Path) -> Iterator[Shown]:
    """The commands of a page: in fences of `sh`, after a prompt `$`, and in sentences."""
    name = str(page.relative_to(ROOT))
    text = page.read_text()
    for line in _lines(text):
        words = _words(line)
        if words:
            yield Shown(name, words, line.partition(" #")[2].strip(), fenced=True)
    for command in INLINE.findall(FENCE.sub("", text)):
        yield Shown(name, _words(command), "", fenced=False)


def _lines(text: str) -> Iterator[str]:
    for fence in FENCE.finditer(text):
        lines = re.sub(r"\\\n", " ", fence["text"]).splitlines()
        if fence["language"] == "sh":
            yield from lines
        elif not fence["language"]:
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def _words(line: str) -> tuple[str, ...]:
    return tuple(shlex.split(line, comments=True))
