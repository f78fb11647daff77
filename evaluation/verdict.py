"""The verdict on a run: whether its product is fit to start a model, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.documents import read_object
from data.errors import UserError
from evaluation.checks import Check, Rows, at_least, at_most, checks_of_rows
from evaluation.columns import Value, format_value
from evaluation.starts import paired_distances
from evaluation.yardsticks import PRODUCT, capitalised

FEWEST = {"training states": 100, "independent training states": 20}
FEWEST |= {"validation states": 10, "test states": 10}
METRICS = "metrics.json"  # of a run, with its verdict
MOST_DRIFT = 3.0  # times that of the truth; a cold start of the basin drifts 4 to 7 times as much
MOST_DISTANCE = 2.0  # times that of the nearest training member


@dataclass(frozen=True)
class Verdict:
    """Whether a product is fit to start a model: its checks, and the reasons in sentences.

    remark: a sentence that follows the reasons
    """

    checks: Sequence[Check]
    remark: str = ""

    @property
    def fit(self) -> bool:
        """Whether every check has passed."""
        return all(check.passed for check in self.checks)

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        return headline(self.fit)

    @property
    def reasons(self) -> list[str]:
        """Why: too little data, failures of the data, failures of the model; or what is closest."""
        failed = [check for check in self.checks if not check.passed]
        remarks = [self.remark] if self.remark else []
        if not failed:
            return [_passed(self.checks), *remarks]
        few = [check for check in failed if check.name in FEWEST]
        rest = [check for check in failed if check.name not in FEWEST]
        rest.sort(key=lambda check: not check.like_the_data)
        return [*_too_little(few), *map(_why, rest), *remarks]

    @property
    def table(self) -> dict[str, dict[str, Value]]:
        """The checks as rows of a table, those that failed first."""
        order = sorted(self.checks, key=lambda check: check.passed)
        return {
            f"{check.name} [{check.unit}]" if check.unit else check.name: {
                "value": check.value,
                "allowed": _allowed(check).removeprefix("allowed: "),
                "reference": check.reference,
                "of": check.against,
                "training states": check.training,
                "EOF-Gaussian, adjusted": check.baseline,
                "passed": "yes" if check.passed else "no",
            }
            for check in order
        }

    def as_dict(self) -> dict[str, Any]:
        """The verdict for `metrics.json`."""
        checks = [check.as_dict() for check in self.checks]
        return {"fit": self.fit, "reasons": self.reasons, "checks": checks}


def judge_product(
    rows: Rows,
    *,
    sizes: Mapping[str, int] | None = None,
    integration: Mapping[str, Any] | None = None,
    at_conditions: bool = False,
    name: str = PRODUCT,
) -> Verdict:
    """The verdict on row `name` of a run's metrics.

    sizes: numbers of states by the names of `FEWEST`; unknown ones are not checked
    integration: summary of `integration.study.summary`
    at_conditions: the states are drawn at given conditions, see `checks_of_rows`
    """
    return Verdict(
        [
            *(at_least(of, count, FEWEST[of]) for of, count in (sizes or {}).items()),
            *checks_of_rows(rows, name=name, at_conditions=at_conditions),
            *_of_integration(integration or {}),
        ]
    )


def headline(fit: bool) -> str:
    """A verdict in a few words."""
    return f"Verdict: {'fit' if fit else 'not fit'} to start a model."


def read_metrics(directory: Path) -> dict[str, Any]:
    """What `metrics.json` of a run directory holds; empty if there is none, or a damaged one."""
    try:
        return read_object(directory / METRICS, advice="evaluate the run again")
    except UserError:
        return {}


def read_verdict(directory: Path) -> dict[str, Any] | None:
    """The verdict in `metrics.json` of a run directory; None if there is none."""
    match read_metrics(directory).get("verdict"):
        case {"fit": bool(), "reasons": [_, *_]} as verdict:
            return verdict
    return None


def judged_before(directory: Path, *, weights: str | None) -> dict[str, int]:
    """Numbers of test states and of sampling seeds in `metrics.json` of a run directory.

    Both are 0 if it is not about the model of these weights.
    """
    match read_metrics(directory):
        case {
            "verdict": {"weights": about},
            "rows": {"truth": {"states": int(states)}},
            **rest,
        } if about == weights:
            match rest.get("seeds"):
                case {"seeds": list(seeds)}:
                    return {"states": states, "seeds": len(seeds)}
            return {"states": states, "seeds": 1}
    return {"states": 0, "seeds": 0}


def as_text(verdict: Mapping[str, Any]) -> str:
    """A verdict of `read_verdict` for the terminal."""
    return "\n".join([headline(verdict["fit"]), *(f"- {reason}" for reason in verdict["reasons"])])


def _of_integration(summary: Mapping[str, Any]) -> Iterator[Check]:
    """Checks of integrations from generated states, as far as their references were integrated."""
    by_start = summary.get("by_start", {})
    ours = by_start.get("generated")
    if not ours:
        return
    lost = by_start.get("truth", {}).get("blown_up", 0)
    yield at_most("integrations that blew up", ours["blown_up"], lost, reference=lost)
    if ours.get("drift_ratio_to_truth") is not None:
        ratio = ours["drift_ratio_to_truth"]
        yield at_most("drift relative to the truth's", ratio, MOST_DRIFT, reference=1.0)
    paired = paired_distances(by_start, "generated", "nearest_member")
    if paired is not None:
        distance, nearest, _ = paired
        yield at_most(
            "distance from the truth after integration",
            distance,
            MOST_DISTANCE * nearest,
            reference=nearest,
            unit="K",
            against="nearest training member",
        )


def _passed(checks: Sequence[Check]) -> str:
    closest = max(checks, key=lambda check: check.used)
    return (
        f"All {len(checks)} checks passed; the closest to its limit is {closest.name}: "
        f"{_quoted(closest, closest.value)} ({_allowed(closest)}; {_references(closest)})."
    )


def _too_little(few: Sequence[Check]) -> Iterator[str]:
    if few:
        counts = ", ".join(
            f"{format_value(check.value)} {check.name} (needed: {check.reference:g})"
            for check in few
        )
        yield f"Too little data, so that nothing can be concluded: {counts}."


def _why(check: Check) -> str:
    """Why a check failed, in a sentence with its numbers."""
    name = capitalised(check.name)
    if check.value is None:
        return f"{name} could not be computed: the samples have missing values, or are too few."
    value = _quoted(check, check.value)
    if check.like_the_data:
        return (
            f"{name}: {value} ({_allowed(check)}; {_references(check)}). The training states are "
            "as far from the truth: the data, not the model, is the reason."
        )
    return f"{name}: {value} ({_allowed(check)}; {_references(check)})."


def _allowed(check: Check) -> str:
    low, high = check.allowed
    if high is None:
        return f"allowed: at least {_quoted(check, low)}"
    if low <= 0:
        return f"allowed: at most {_quoted(check, high)}"
    return f"allowed: {format_value(low)} to {_quoted(check, high)}"


def _references(check: Check) -> str:
    known = {
        check.against: check.reference,
        "training states": check.training,
        "EOF-Gaussian, adjusted": check.baseline,
    }
    parts = (f"{of}: {_quoted(check, value)}" for of, value in known.items() if value is not None)
    return "; ".join(parts)


def _quoted(check: Check, value: float | None) -> str:
    return f"{format_value(value)} {check.unit}".rstrip()
