"""Tables of the twin study: one for each network of observations and group of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.columns import Column, format_spread
from studies.markdown import Result, Table, chosen, rows_markdown
from studies.observations.columns import CALIBRATION, SKILL
from studies.observations.settings import NETWORKS

COLUMNS: dict[str, Sequence[Column]] = {
    "skill": SKILL,
    "calibration": CALIBRATION["temperature"],
    "calibration_salinity": CALIBRATION["salinity"],
}
GROUPS = {
    f"{network}_{name}": (network, columns)
    for network in NETWORKS
    for name, columns in COLUMNS.items()
}
DEFAULT = "profiles_40_skill"


def observations_table(result: Result, group: str | None) -> str:
    """Methods on one network: mean over the truths ± standard deviation.

    group: the network and one of `COLUMNS`, as "section_calibration"; default: "profiles_40_skill"
    """
    network, columns = chosen(GROUPS, group) or GROUPS[DEFAULT]
    found = result["networks"].get(network, {"rows": {}})["rows"]
    return methods_markdown(found, result["labels"], columns)


def methods_markdown(
    found: Mapping[str, Any], labels: Mapping[str, str], columns: Sequence[Column]
) -> str:
    """Methods by name, each with `mean` and `deviation` of its columns over the truths."""
    rows = {
        labels[name]: {
            column.key: format_spread(row["mean"][column.key], row["deviation"].get(column.key))
            for column in columns
            if row["mean"].get(column.key) is not None
        }
        for name, row in found.items()
    }
    return rows_markdown(rows, columns)


TABLES: dict[str, Table] = {"observations": observations_table}
