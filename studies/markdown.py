"""Markdown tables of results, shared by all studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from data.errors import UserError
from evaluation.columns import Column, format_value, table_head

Result = Mapping[str, Any]
Rows = Mapping[str, Mapping[str, Any]]
Table = Callable[[Result, str | None], str]
Group = TypeVar("Group")


def rows_markdown(rows: Rows, columns: Sequence[Column]) -> str:
    """One line for each row, one column for each quantity present in any row."""
    present = [c for c in columns if any(row.get(c.key) is not None for row in rows.values())]
    lines = table_head(present)
    for name, row in rows.items():
        values = " | ".join(format_value(row.get(column.key)) for column in present)
        lines.append(f"| {readable(name)} | {values} |")
    return "\n".join(lines) + "\n"


def table_of(key: str, columns: Sequence[Column]) -> Table:
    """A table of the rows under `key` of a result, without groups."""

    def table(result: Result, group: str | None) -> str:
        chosen({}, group)
        return rows_markdown(result[key], columns)

    return table


def chosen(groups: Mapping[str, Group], group: str | None) -> Group | None:
    """The group of that name, None without a name; raises `UserError` for an unknown name."""
    if group is None:
        return None
    if group not in groups:
        raise UserError(
            f"this result has no group '{group}'; its groups are {', '.join(groups) or 'none'}"
        )
    return groups[group]


def only(table: str, labels: Sequence[str]) -> str:
    """A table reduced to the rows with these labels, in this order.

    Raises `UserError` for an unknown label.
    """
    head, lines = table.splitlines()[:2], table.splitlines()[2:]
    by_label = {line.split("|")[1].strip(): line for line in lines}
    unknown = [label for label in labels if label not in by_label]
    if unknown:
        raise UserError(f"there is no row '{unknown[0]}'; the rows are {'; '.join(by_label)}")
    return "\n".join([*head, *(by_label[label] for label in labels)]) + "\n"


def readable(name: str) -> str:
    """A name with spaces in place of underscores."""
    return name.replace("_", " ")
