"""The report of a run: what its page says, from its metrics, and where these come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from configs.run import Run
from data.archive.format import SPLITS
from data.salinity import salinity_of
from evaluation.captions import Evidence, caption, integration_caption
from evaluation.columns import Value
from evaluation.differences import Differences
from evaluation.metrics.catalogue import COLUMNS
from evaluation.provenance import facts, provenance, trained_precision
from evaluation.report import write_report
from evaluation.seeds import at_mean, with_spread
from evaluation.verdict import Verdict
from evaluation.yardsticks import PRODUCT, ROW_NAMES, findings

INTEGRATION = "integration"  # name of the figure, and of the section of the metrics
SECONDS, PROCESSOR_SECONDS = "_seconds", "_processor_seconds"


def write_run_report(
    run: Run,
    metrics: Mapping[str, Any],
    *,
    verdict: Verdict,
    figures: Sequence[Path],
    differences: Differences,
    notes: Sequence[str],
) -> Path:
    """Write report.html of a run; returns its path.

    metrics: what metrics.json holds; differences: of the product from the truth; notes: paragraphs
    below the verdict
    """
    rows, integration = metrics["rows"], metrics[INTEGRATION]
    evidence = Evidence(
        rows=rows,
        differences=differences,
        profiles=metrics["variance_profiles"],
        grid=run.archive.grid,
        salinity=salinity_of(run.archive.equation_of_state),
        equation_of_state=run.archive.equation_of_state,
    )

    def caption_of(path: Path) -> str:
        if path.stem == INTEGRATION and integration:
            return integration_caption(integration)
        return caption(path.stem, evidence)

    return write_report(
        run.results / "report.html",
        title=_title(run),
        metrics={
            ROW_NAMES[name]: with_spread(values, metrics["seeds"] if name == PRODUCT else None)
            for name, values in rows.items()
        },
        columns=COLUMNS,
        figures=[(path, caption_of(path)) for path in figures],
        config_text=yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False),
        verdict=verdict,
        notes=notes,
        findings=findings(at_mean(rows, metrics["seeds"])),
        integration=_by_start(integration) if integration else None,
        salinity=evidence.salinity,
        cost=cost_table(metrics["cost"]),
        facts=facts(metrics["provenance"]) | _size(metrics["cost"]),
    )


def origin_of(run: Run) -> dict[str, object]:
    """Provenance of a run's evaluation: also precision of the training, data and model."""
    return {
        **provenance(seeds=_seeds(run)),
        "precision": trained_precision(
            {name: run.directory / name for name in ("autoencoder", "diffusion", "distillation")}
        ),
        "data": _data(run),
        "model": f"{run.settings.name}, weights {str(run.weights)[:12]}",
    }


def is_elsewhere(run: Run) -> bool:
    """Whether the truth is that of another archive."""
    return run.results != run.directory


def cost_table(cost: Mapping[str, float]) -> dict[str, dict[str, Value]]:
    """Wall and processor time of each stage [s], by stage."""
    stages = [
        name.removesuffix(SECONDS)
        for name in cost
        if name.endswith(SECONDS) and not name.endswith(PROCESSOR_SECONDS)
    ]
    return {
        stage: {
            "wall time [s]": cost[stage + SECONDS],
            "processor time [s]": cost.get(stage + PROCESSOR_SECONDS),
        }
        for stage in stages
    }


def _size(cost: Mapping[str, float]) -> dict[str, str]:
    """The size of the model and of the largest process, as far as they are known."""
    parts = {
        "codec_million_parameters": "autoencoder {} million parameters",
        "denoiser_million_parameters": "denoiser {} million",
        "compression_factor": "{} values of a state per latent value",
        "largest_process_GiB": "largest process {} GiB of memory",
    }
    known = [text.format(cost[name]) for name, text in parts.items() if name in cost]
    return {"size": ", ".join(known)} if known else {}


def _by_start(integration: Mapping[str, Any]) -> dict[str, dict[str, Value]]:
    """The rows of integrations by readable names."""
    return {name.replace("_", " "): row for name, row in integration["by_start"].items()}


def _title(run: Run) -> str:
    title = run.settings.title or run.settings.name
    return f"{title}, judged with {run.held_out.archive.path.name}" if is_elsewhere(run) else title


def _data(run: Run) -> str:
    """The training archive and its parts, and the other archive that the run is judged with."""
    archive = run.archive
    parts = {name: int((archive.split == number).sum()) for name, number in SPLITS.items()}
    counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
    text = f"{archive.path.name} (digest {archive.digest}), states: {counts}"
    if is_elsewhere(run):
        other = run.held_out.archive
        text += f"; judged with {other.path.name} (digest {other.digest})"
    return text


def _seeds(run: Run) -> dict[str, int]:
    distillation = run.settings.distillation
    further = {
        f"sampling, {number}": one.settings.sampling.seed
        for number, one in enumerate(run.of_further_seeds, start=2)
    }
    return {
        "autoencoder": run.settings.autoencoder.training.seed,
        "diffusion": run.settings.diffusion.training.seed,
        "sampling": run.settings.sampling.seed,
        **further,
        **({"distillation": distillation.training.seed} if distillation else {}),
        **({"integration": run.settings.integration.seed} if run.settings.integration else {}),
    }
