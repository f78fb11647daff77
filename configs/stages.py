"""The stages of a run, each built from its settings and skipped if its product is up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoencoder import train as autoencoder_stage
from configs.run import Run
from data.archive.format import ZIP_SUFFIX
from data.archive.netcdf import NETCDF_SUFFIX
from data.conditions import Conditions
from data.errors import UserError
from data.points import read_points
from guidance.climatology import training_climatology
from latent_diffusion import distil as distillation_stage
from latent_diffusion import train as diffusion_stage
from latent_diffusion.points import conditions_at, left_open
from latent_diffusion.residuals import Divide, conditional_data
from latent_diffusion.sample import (
    Ensemble,
    adjust_archive,
    draw,
    draw_adjusted,
    draw_netcdf,
    holds_ensemble,
    holds_in_netcdf,
)
from training.launch import require_shared_folder
from training.stage import Stage, differing_settings


def train_codec(run: Run) -> None:
    """The autoencoder stage."""
    _refuse_distillation(run)
    run.verify_archive()
    run.refuse_former(run.codec_folder)
    autoencoder_stage.train_codec(
        run.codec_stage,
        run.settings.autoencoder,
        archive=run.archive,
        diffusion_stages=run.stages_for(run.archive),
    )


def train_denoiser(run: Run) -> None:
    """The diffusion stage. Raises `UserError` if there is no codec of these settings."""
    _refuse_distillation(run)
    run.verify_archive()
    stage = run.denoiser_stage
    if stage.is_done:
        return
    if not run.codec_stage.is_done:
        run.refuse_former(run.codec_folder)
        raise UserError(
            f"{run.codec_stage.product} holds no codec made with this configuration; "
            "run the autoencoder stage first: halocline train autoencoder CONFIG"
        )

    train_network(run, stage)


def train_network(run: Run, stage: Stage, *, divided: Divide = conditional_data) -> None:
    """Train the denoiser of a run in a stage of its own; see `latent_diffusion.train`."""
    diffusion_stage.train_denoiser(
        stage,
        run.settings.diffusion,
        codec=run.codec(),
        archive=run.archive,
        scheduler=run.scheduler(),
        steps=run.settings.sampling.steps,
        release=run.release(lambda: training_climatology(run.archive)),
        conditions=run.settings.conditions,
        divided=divided,
    )


def distil(run: Run) -> None:
    """The distillation stage. Raises `UserError` if its teacher is not trained."""
    require_shared_folder(run.directory)
    teacher, stage = run.teacher, run.distillation_stage
    if stage.is_done or (teacher.weights is None and _has_current_student(run)):
        return
    if teacher.weights is None:
        raise UserError(
            f"{teacher.directory}, the teacher of {run.settings.name}, holds no model; train it "
            "first"
        )
    settings, sampling = run.settings.distillation, run.settings.sampling
    assert settings is not None, "a run without it has no teacher"
    chains = distillation_stage.chains_settings(settings, sampling)
    distillation_stage.distil(
        stage,
        settings,
        teacher=teacher.pipeline(),
        scheduler=run.scheduler(),
        steps=sampling.steps,
        batch_size=sampling.batch_size,
        identity={"teacher": teacher.weights, **chains},
        release=run.release(teacher.climatology),
    )


def sample_rows(run: Run) -> None:
    """Draw the ensembles of the evaluation: the same noise without and with guidance.

    With several seeds, the others' products follow.
    """
    guided, adjusted = run.samples("guided"), run.samples("guided_adjusted")
    draw(run.ensemble(guided=False), output=run.samples("unguided"))
    draw(run.ensemble(guided=True), output=guided)
    adjust_archive(guided, adjusted)
    for further in run.of_further_seeds:
        output = run.samples_of_seed(further.settings.sampling.seed)
        draw_adjusted(further.ensemble(guided=True), output=output)


def sample(
    run: Run,
    *,
    output: Path,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    certain: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Draw an ensemble into `output`, guided and adjusted if configured.

    Returns what the user did not ask for and should know, a sentence each.

    output: `.zarr` or `.zarr.zip` for an archive, `.nc` for a CF NetCDF file
    at: conditions as `data.points.read_points` takes them; the configured number of
        states is drawn at each point, of the same noise at all points
    extrapolate: whether points may lie outside the range of the training members
    certain: whether all states at a point have the expected mean, see `data.conditions.Conditions`
    overwrite: whether to replace sampled states that are not these

    Raises `UserError` for conditions that the model does not have, for an output of another kind,
    and for one that holds other states.
    """
    is_netcdf = _is_netcdf(output)
    guidance, members = run.settings.guidance, run.settings.sampling.members
    run, conditions = _at_points(run, at, extrapolate=extrapolate, certain=certain)
    remarks = _remarks(run, at, certain=certain) if conditions else []
    ensemble = _ensemble_at(run, conditions, members=members)
    held = holds_in_netcdf if is_netcdf else holds_ensemble
    others = output.exists() and not held(output, ensemble.record, adjusted=guidance.adjust)
    if others and not overwrite:
        raise UserError(
            f"{output} holds states of other settings: give --overwrite to replace them, or "
            "another --output"
        )
    if is_netcdf:
        draw_netcdf(ensemble, output=output, adjusted=guidance.adjust)
    elif guidance.adjust:
        draw_adjusted(ensemble, output=output)
    else:
        draw(ensemble, output=output)
    return remarks


def _remarks(run: Run, at: Sequence[str], *, certain: bool) -> list[str]:
    """What decides about the states although the user did not give it."""
    remarks = []
    if names := left_open(read_points(at), run.expectation()):
        remarks.append(
            f"Left open: {', '.join(names)}. Parameters that --at does not give are those of a "
            "training member, drawn for each state, and the season is random; the file holds them."
        )
    if not certain:
        remarks.append(
            "The mean of each state is drawn from the predicted uncertainty. To start a model from "
            "a state, give --certain: its mean then is the expected one."
        )
    return remarks


def ensemble_of(run: Run) -> Ensemble:
    """The ensemble that `sample` draws without points, guided if configured."""
    run, conditions = _at_points(run, (), extrapolate=False, certain=False)
    return _ensemble_at(run, conditions, members=run.settings.sampling.members)


def _ensemble_at(run: Run, conditions: Conditions | None, *, members: int) -> Ensemble:
    """The ensemble at some conditions; members: at each point, of the same noise at all points."""
    noises = members if conditions else None
    return run.ensemble(guided=run.settings.guidance.enabled, conditions=conditions, noises=noises)


def _is_netcdf(output: Path) -> bool:
    """Whether `output` is a NetCDF file and no archive, by its suffix."""
    if output.name.endswith((".zarr", ZIP_SUFFIX)):
        return False
    if output.suffix == NETCDF_SUFFIX:
        return True
    raise UserError(
        f"the output {output} is of no known kind: its name must end in .zarr or .zarr.zip, for an "
        "archive, or in .nc, for a NetCDF file"
    )


def _at_points(
    run: Run, at: Sequence[str], *, extrapolate: bool, certain: bool
) -> tuple[Run, Conditions | None]:
    """The run with the number of states for all points, and the conditions of each state."""
    if run.settings.conditions is None:
        if at or extrapolate or certain:
            raise UserError(
                f"{run.settings.name} has no section conditions, so that --at, --extrapolate and "
                "--certain say nothing about its states; see configs/ensemble.yaml"
            )
        return run, None
    sampling, points = run.settings.sampling, read_points(at)
    conditions = conditions_at(
        points,
        expectation=run.expectation(),
        members=sampling.members,
        seed=sampling.seed,
        extrapolate=extrapolate,
        certain=certain,
    )
    everything = sampling.model_copy(update={"members": len(conditions)})
    return run.with_settings(sampling=everything), conditions


def _refuse_distillation(run: Run) -> None:
    """Raise `UserError` for an experiment that is distilled from another."""
    if run.settings.distillation:
        raise UserError(
            f"{run.settings.name} is distilled from {run.settings.distillation.teacher} and trains "
            "no networks of its own; run: halocline train distillation CONFIG"
        )


def _has_current_student(run: Run) -> bool:
    """Whether the model was made with these settings, from any teacher."""
    folder = run.model_folder
    return folder.is_dir() and not differing_settings(folder, run.model_settings)
