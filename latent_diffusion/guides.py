"""From the configuration's section `guidance` to the guide that it describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from autoencoder.codec import Codec
from configs import load_experiment
from configs.schema import GuidanceSettings
from data.archive.reader import StateArchive
from data.archive.splits import spread_out
from data.errors import UserError
from data.state import State
from guidance.climatology import Climatology, climatology
from guidance.constraints import NearestStableState, PhysicalBounds, Scales, Term, UnstablePairs
from guidance.energy import WeightedTerm
from guidance.guide import Descent, Guide, SampleGuide
from guidance.profiles import Budget, HorizontalMean, MeanDensityProfile, MeanProfile
from guidance.seawater import EquationOfState, equation_of_state
from guidance.strength import Constant, DualAscent, Rising, Strength

CLIMATOLOGY_STATES = 64
CLIMATOLOGY = "climatology.json"  # in the model folder: what guides must know of the data


def build_guide(
    settings: GuidanceSettings, codec: Codec, *, data: Callable[[], Climatology]
) -> Guide | SampleGuide:
    """The guide of the codec's ocean; `data` is asked for if a term needs the data's statistics.

    Raises `UserError` for a guide that the codec does not allow.
    """
    terms = _terms(settings, codec, data)
    descent = Descent(
        by=settings.by,
        inner_steps=settings.inner_steps,
        satisfied=settings.satisfied,
        step_cap=settings.step_cap,
        relaxation=settings.relaxation,
        damped=settings.damped,
    )
    if settings.by == "surrogate" and not codec.has_linear_decoder:
        raise UserError(
            "this autoencoder has no linear path to guide by; set guidance.by to 'decoder', or "
            "train one with autoencoder.linear_path"
        )
    if settings.acts_on == "noisy_sample":
        return SampleGuide(
            terms, start=settings.start, strength=_strength(settings), descent=descent
        )
    return Guide(terms, start=settings.start, every=settings.every, descent=descent)


def guide_of_model(folder: Path, codec: Codec) -> Guide | SampleGuide:
    """The guide of a released model's own configuration, from its folder alone.

    codec: the model's, as `StatePipeline.from_pretrained(folder).codec`

    Raises `UserError` if the folder lacks what the guide needs.
    """
    settings = load_experiment(folder / "experiment.yaml").guidance
    return build_guide(settings, codec, data=lambda: saved_climatology(folder))


def saved_climatology(folder: Path) -> Climatology:
    """The climatology in a model's folder. Raises `UserError` if there is none."""
    path = folder / CLIMATOLOGY
    if not path.is_file():
        raise UserError(
            f"{folder} has no {CLIMATOLOGY}, which its guide needs; release the model again by the "
            "diffusion stage, or sample with `halocline sample` where the training states are"
        )
    return Climatology.from_dict(json.loads(path.read_text()))


def training_climatology(archive: StateArchive) -> Climatology:
    """What constraints may ask of the data, from some of the training states."""
    indices = spread_out(archive.indices("train"), CLIMATOLOGY_STATES)
    states = (archive.read([int(index)]) for index in indices)
    eos = equation_of_state(archive.equation_of_state)
    return climatology(states, grid=archive.grid, eos=eos)


def mean_profiles(codec: Codec) -> tuple[torch.Tensor, torch.Tensor]:
    """Horizontal means `z` of the training climatology's temperature [degC] and salinity."""
    climatology = State.from_channels(
        codec.statistics.mean[None].double().cpu(), levels=codec.statistics.levels
    )
    mean = HorizontalMean(codec.grid, per="sample")
    return mean(climatology.temperature)[0], mean(climatology.salinity)[0]


def _terms(
    settings: GuidanceSettings, codec: Codec, data: Callable[[], Climatology]
) -> list[WeightedTerm]:
    builders = _builders(settings, codec, data)
    return [
        WeightedTerm(builders[name](), weight, *settings.window(name))
        for name, weight in settings.weights.items()
        if weight
    ]


def _builders(
    settings: GuidanceSettings, codec: Codec, data: Callable[[], Climatology]
) -> dict[str, Callable[[], Term]]:
    """How each term of the settings is made."""
    grid, statistics, per = codec.grid, codec.statistics, settings.per
    eos = equation_of_state(codec.config.ocean["equation_of_state"])
    scales = Scales.from_channels(statistics.std.cpu(), levels=statistics.levels)
    density = partial(_density_profile, codec, eos, data, settings)
    return {
        "nearest_stable_state": lambda: NearestStableState(grid, eos, scales),
        "unstable_pairs": lambda: UnstablePairs(
            grid, eos, data().step_std, tolerance=data().tolerance
        ),
        "physical_bounds": lambda: PhysicalBounds(grid, scales),
        "mean_profile": lambda: MeanProfile(grid, *mean_profiles(codec), scales, per=per),
        "density_profile": lambda: density(steps=False),
        "density_steps": lambda: density(steps=True),
        "budget": lambda: _budget(codec, data(), settings),
    }


def _density_profile(
    codec: Codec,
    eos: EquationOfState,
    data: Callable[[], Climatology],
    settings: GuidanceSettings,
    *,
    steps: bool,
) -> MeanDensityProfile:
    known = data()
    std = known.step_std if steps else known.density_std
    return MeanDensityProfile(codec.grid, eos, known.density, std, steps=steps, per=settings.per)


def _budget(codec: Codec, known: Climatology, settings: GuidanceSettings) -> Budget:
    (temperature, temperature_std), (salinity, salinity_std) = known.temperature, known.salinity
    std = (temperature_std, salinity_std)
    return Budget(codec.grid, temperature, salinity, std, per=settings.per)


def _strength(settings: GuidanceSettings) -> Strength:
    if settings.strength == "rising":
        return Rising(settings.rate)
    if settings.strength == "dual_ascent":
        return DualAscent(settings.rate)
    return Constant(settings.rate)
