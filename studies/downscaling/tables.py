"""Tables of the study of downscaling."""

from __future__ import annotations

from studies.downscaling.columns import COLUMNS, GROUPS
from studies.markdown import Result, Table, chosen
from studies.observations.tables import methods_markdown


def downscaling_table(result: Result, group: str | None) -> str:
    """Rows: mean over the truths ± standard deviation; group: "skill" (default) or "physics"."""
    columns = chosen(GROUPS, group) or COLUMNS
    return methods_markdown(result["rows"], result["labels"], columns)


TABLES: dict[str, Table] = {"downscaling": downscaling_table}
