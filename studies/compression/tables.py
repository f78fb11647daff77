"""Markdown tables of a study of designs."""

from __future__ import annotations

from typing import Any

from data.errors import UserError
from evaluation.columns import Column
from evaluation.yardsticks import PRODUCT, ROW_NAMES
from studies.autoencoder.tables import autoencoders_table
from studies.compression.targets import TARGETS
from studies.markdown import Result, Table, rows_markdown
from studies.runs import GROUPS as OF_STATES
from studies.runs import run_table

COST = (
    Column("compression", "compression"),
    Column("autoencoder_minutes", "training, autoencoder", "min"),
    Column("diffusion_minutes", "training, diffusion", "min"),
    Column("unguided_seconds_per_state", "unguided state", "s"),
    Column("guided_seconds_per_state", "guided state", "s"),
    Column("guided_memory_MB", "memory", "MB"),
    Column("million_parameters", "weights", "million"),
)
ACCURACY = (
    Column("training_minutes", "training", "min"),
    Column("guided_seconds_per_state", "state", "s"),
    *(target.column for target in TARGETS),
)
OF_AUTOENCODERS = ("spectra", "reconstruction", "physics")


def compression_table(study: Result, group: str | None) -> str:
    """One line for each variant.

    group: "accuracy" (default), with the floor and the baselines; "cost"; "spectra",
    "reconstruction" or "physics" of the autoencoders; or a group of `studies.runs`. Raises
    `UserError` for another one.
    """
    variants = study["variants"]
    costs = {name: variant["cost"] for name, variant in variants.items()}
    if group == "cost":
        return rows_markdown(costs, COST)
    if group in OF_AUTOENCODERS:
        codecs = {name: variant["autoencoder"] for name, variant in variants.items()}
        return autoencoders_table({"variants": codecs}, group)
    products = {name: variant["rows"][PRODUCT] for name, variant in variants.items()}
    if group in OF_STATES:
        return run_table({"rows": study["yardsticks"] | products}, group)
    if group in (None, "accuracy"):
        return rows_markdown(_with_yardsticks(study, costs, products), ACCURACY)
    known = ("accuracy", "cost", *OF_AUTOENCODERS, *OF_STATES)
    raise UserError(f"this result has no group '{group}'; its groups are {', '.join(known)}")


def _with_yardsticks(
    study: Result, costs: dict[str, Any], products: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Cost and accuracy of each variant, below those of the floor and the baselines."""
    yardsticks = {
        ROW_NAMES[name]: row for name, row in study["yardsticks"].items() if name != "truth"
    }
    return yardsticks | {name: costs[name] | products[name] for name in costs}


TABLES: dict[str, Table] = {"compression": compression_table}
