"""Tables of the study of recovered parameters."""

from __future__ import annotations

from evaluation.columns import Column
from studies.markdown import Result, Table, chosen, readable, rows_markdown
from studies.recovery.scores import ALL, QUANTITIES

SUMMARY = (
    Column(f"inside_{ALL}", "in the 90 % range", "%"),
    Column(f"width_{ALL}", "width of the range", "%"),
    Column(f"score_{ALL}", "interval score", "%"),
    Column(f"error_{ALL}", "error of the median, rms", "%"),
    Column("cpu_seconds", "processor time", "s"),
)


def recovery_table(result: Result, group: str | None) -> str:
    """All parameters together, or a quantity of each.

    group: "inside", the share of true parameters in the range; its "width" or "score", or the
    "error" of the median, relative to the range of the training members
    """
    columns = chosen({name: _columns(result, name) for name in QUANTITIES}, group) or SUMMARY
    rows = {result["labels"][name]: row for name, row in result["rows"].items()}
    return rows_markdown(rows, columns)


def _columns(result: Result, quantity: str) -> list[Column]:
    return [Column(f"{quantity}_{name}", readable(name), "%") for name in result["parameters"]]


TABLES: dict[str, Table] = {"recovery": recovery_table}
