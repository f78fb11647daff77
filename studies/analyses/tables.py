"""Table of the study of analyses in the model."""

from __future__ import annotations

from studies.markdown import Result, Table, chosen, rows_markdown
from studies.started import RUNS


def analyses_table(result: Result, group: str | None) -> str:
    """Runs from each analysis; there are no groups."""
    chosen({}, group)
    labels = result["labels"]
    return rows_markdown({labels[name]: row for name, row in result["rows"].items()}, RUNS)


TABLES: dict[str, Table] = {"analyses": analyses_table}
