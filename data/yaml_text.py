"""YAML of settings, read within limits: it may come from anywhere, also in a model's folder.

PyYAML's safe loader runs no code, but expands aliases without bound, follows any depth, and takes
the last of two equal keys.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

MOST_CHARACTERS = 2**20
MOST_VALUES = 100_000  # aliases expanded
DEEPEST = 40
LARGEST_NUMBER = 2**63  # whole numbers beyond it fit into no array


class _Loader(yaml.SafeLoader):
    """The safe loader, for documents of limited depth."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"its values are nested more than {DEEPEST} deep")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(text: str) -> Any:
    """The content of a YAML.

    Raises `yaml.YAMLError` for invalid YAML, two equal keys, whole numbers beyond 2^63, and for
    texts that are too long, too deep or too large with their aliases expanded.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text)} characters: expected at most {MOST_CHARACTERS}")
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root, {}, ())
        return loader.construct_document(root)
    except (ValueError, TypeError, OverflowError) as error:  # of dates and numbers
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def _count(node: Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Number of values in a node with aliases expanded, each node visited once."""
    if id(node) in above:
        raise _error("a value contains itself", node.start_mark)
    if id(node) not in known:
        below = (*above, id(node))
        count = 1 + sum(_count(child, known, below) for child in _children(node))
        if count > MOST_VALUES:
            raise _error(f"its aliases stand for more than {MOST_VALUES} values", node.start_mark)
        known[id(node)] = count
    return known[id(node)]


def _children(node: Node) -> list[Node]:
    """The nodes in a node, after a check of keys and numbers."""
    if isinstance(node, MappingNode):
        _refuse_equal_keys(node)
        return [child for pair in node.value for child in pair]
    if isinstance(node, ScalarNode):
        _refuse_huge_number(node)
    return list(node.value) if isinstance(node, SequenceNode) else []


def _refuse_equal_keys(node: MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise _error(f"the key {key.value[:60]} is given twice", key.start_mark)
            seen.add(key.value)


def _refuse_huge_number(node: ScalarNode) -> None:
    if not node.tag.endswith(":int"):
        return
    digits = node.value.replace("_", "").lstrip("+-")
    if len(digits) > 70 or (digits.isdigit() and int(digits) >= LARGEST_NUMBER):
        raise _error("a whole number is not below 2^63", node.start_mark)


def _error(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
