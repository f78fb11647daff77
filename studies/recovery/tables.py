"""Tables of the study of recovered parameters."""

from __future__ import annotations

from evaluation.columns import Column
from studies.markdown import Result, Table, chosen, readable, rows_markdown
from studies.recovery.scores import ALL

TITLES = {
    "inside": "in the 90 % range",
    "width": "width of the range",
    "score": "interval score",
    "error": "error, rms",
}


def recovery_table(result: Result, group: str | None) -> str:
    """Rows by parameter.

    group: "inside" (default), the share of true parameters in the range; "width" of the range,
    its "score", or the "error" of the median, as percentages of the range of the training members
    """
    groups = {name: _columns(result, name) for name in TITLES}
    columns = chosen(groups, group) or groups["inside"]
    rows = {result["labels"][name]: row for name, row in result["rows"].items()}
    return rows_markdown(rows, columns)


def _columns(result: Result, quantity: str) -> list[Column]:
    title = TITLES[quantity]
    columns = [
        Column(f"{quantity}_{name}", f"{readable(name)}, {title}", "%")
        for name in (*result["parameters"], ALL)
    ]
    return [*columns, Column("cpu_seconds", "processor time", "s")]


TABLES: dict[str, Table] = {"recovery": recovery_table}
