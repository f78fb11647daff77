"""For the API reference: lines such as "depth: `z`, cell centres [m]" become a list.

Markdown would join the lines of a docstring's parameters to one paragraph.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)")


class ParameterLists(griffe.Extension):
    """Rewrites the docstrings of everything that the reference shows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(docstring: str) -> str:
    """The docstring with each paragraph of "name: description" lines as a Markdown list."""
    summary, *paragraphs = docstring.split("\n\n")
    return "\n\n".join([summary, *(_as_list(paragraph) for paragraph in paragraphs)])


def _as_list(paragraph: str) -> str:
    if not _ENTRY.match(paragraph):
        return paragraph
    return "\n".join(_ENTRY.sub(r"- **\1**: ", line) for line in paragraph.splitlines())
