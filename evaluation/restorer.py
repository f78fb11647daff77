"""What a restorer of small scales is worth: decoded states beside restored ones.

    python -m evaluation.restorer CONFIG [--split test] [--output FILE] [--section.key value ...]

trains the experiment's restorer if that is not done, and judges auto-encoded states of the split,
and the experiment's unguided samples if it has a trained model, decoded and restored.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from autoencoder.codec import VolumeCodec
from autoencoder.layers import zero
from autoencoder.restorer import Restorer, restore
from autoencoder.train import load_codec
from autoencoder.train_restorer import (
    DecodedStates,
    load_restorer,
    train_restorer,
    volume_codec,
)
from configs import Experiment, load_experiment
from data.errors import user_errors_in_one_sentence
from data.state import State
from data.states import StateArchive
from evaluation.codec_cost import PLAIN_METER
from evaluation.metrics import EvaluationContext, evaluate_row, variance_ratio
from evaluation.provenance import provenance
from evaluation.reconstruction import (
    BATCH,
    SURFACE,
    THERMOCLINE_CENTRE,
    VARIABLES,
    StateCodec,
    reconstruction_metrics,
    thermocline_depths,
)
from evaluation.rows import spread_out
from evaluation.spectra import third_ratios, zonal_spectra
from evaluation.weights import cell_volume
from guidance.seawater import equation_of_state
from latent_diffusion.pipeline import StatePipeline, model_directory
from latent_diffusion.sample import member_generator
from training.log import write_json

TIMED = 5  # decodings of one state
STEPS = (1, 2, 4, 8)  # of the flow
CONTROL_STEPS = 8
SEED = 0


class RestoringCodec:
    """A codec whose decoder is followed by the restorer: what `evaluation.reconstruction` judges.

    Every decoding draws anew from one generator.
    """

    def __init__(self, codec: VolumeCodec, restorer: Restorer, *, steps: int) -> None:
        self._codec, self._restorer, self._steps = codec, restorer, steps
        self._generator = torch.Generator().manual_seed(SEED)
        self.statistics = codec.statistics

    def encode(self, state: State) -> Tensor:
        """As the codec's."""
        return self._codec.encode(state)

    def decode(self, latents: Tensor) -> State:
        """Standardised latents `b c h w` to a state with small scales drawn."""
        return restore(
            self._codec,
            self._restorer,
            latents,
            steps=self._steps,
            generators=[self._generator] * len(latents),
        )


def compare_restored(experiment: Experiment, *, split: str) -> dict[str, Any]:
    """Metrics of decoded and restored states of `split`, and of samples if there is a model."""
    archive, codec = (
        StateArchive.open(experiment.data.archive),
        volume_codec(load_codec(experiment)),
    )
    train_restorer(experiment)
    restorer = load_restorer(experiment)
    codecs = contenders(codec, restorer, archive)
    truth = archive.read(spread_out(archive.indices(split), experiment.evaluation.states))
    context = EvaluationContext(archive.grid, equation_of_state(archive.equation_of_state))
    result: dict[str, Any] = {"split": split}
    result["variants"] = {
        name: reconstructed_row(one, truth, context) | places_of(one, codec, restorer, truth)
        for name, one in tqdm(codecs.items(), desc="auto-encoded states", unit="row")
    }
    if (model_directory(experiment.run_directory) / "model_index.json").is_file():
        latents = sampled_latents(experiment)
        result["samples"] = {
            name: sampled_row(decoded_in_parts(one, latents), truth, context)
            for name, one in tqdm(codecs.items(), desc="samples", unit="row")
        }
    return result | {"provenance": provenance(seeds={"restorer": SEED})}


def contenders(
    codec: VolumeCodec, restorer: Restorer, archive: StateArchive
) -> dict[str, StateCodec]:
    """What is compared, by name: the decoder, a control, and the restorer by steps of the flow.

    The control adds noise of the residual's spectrum, calibrated as the restorer's is, but knows
    nothing of the state: what a restorer reaches beyond it has been learnt.
    """
    held_out = DecodedStates(codec, archive, "validation").pairs
    ignorant = deepcopy(restorer)
    zero(ignorant.last)
    found: dict[str, StateCodec] = {
        "decoded": codec,
        "noise": calibrated(codec, ignorant, held_out, steps=CONTROL_STEPS),
    }
    for steps in STEPS:
        name = f"restored, {steps} step{'s' * (steps > 1)}"
        found[name] = calibrated(codec, restorer, held_out, steps=steps)
    return found


def calibrated(
    codec: VolumeCodec, restorer: Restorer, held_out: Tensor, *, steps: int
) -> RestoringCodec:
    """The codec with a copy of the restorer that is calibrated for so many steps."""
    restorer = deepcopy(restorer)
    restorer.calibrate(held_out, steps=steps)
    return RestoringCodec(codec, restorer, steps=steps)


def reconstructed_row(
    codec: StateCodec, truth: State, context: EvaluationContext
) -> dict[str, float]:
    """The metrics of `evaluation.reconstruction`, and the seconds of decoding one state."""
    metrics = reconstruction_metrics(codec, truth, context)
    latents = codec.encode(truth.map(lambda field: field[:1]))
    seconds = median(PLAIN_METER.seconds(lambda: codec.decode(latents)) for _ in range(TIMED))
    return metrics | {"restored_decode_seconds": seconds}


@torch.no_grad()
def places_of(
    contender: StateCodec, codec: VolumeCodec, restorer: Restorer, truth: State
) -> dict[str, float]:
    """Whether small scales of T are strong where the truth's are, at the surface and near 400 m.

    Correlation over wet cells and states of the local energy of small scales (their square,
    smoothed over as many cells), less its mean over the states, with the truth's.
    """
    state = decoded_in_parts(contender, torch.cat([codec.encode(p) for p in truth.split(BATCH)]))
    ours, theirs = (_local_energy(each, codec, restorer) for each in (state, truth))
    depths = codec.grid_depth.numpy()
    levels = {SURFACE: 0, "thermocline": int(np.abs(depths - THERMOCLINE_CENTRE).argmin())}
    return {
        f"energy_correlation_{place}": _correlation(ours[:, level], theirs[:, level])
        for place, level in levels.items()
    }


def _local_energy(state: State, codec: VolumeCodec, restorer: Restorer) -> Tensor:
    """Smoothed squares `b c y x` of the small scales, less their mean over the states; land 0."""
    small = restorer.small_scales(codec.network_input(state))
    energy = codec.padding.crop(restorer.smoothed(small.square())) * codec.statistics.wet
    return energy - energy.mean(dim=0)


def _correlation(one: Tensor, other: Tensor) -> float:
    """Of fields that are 0 on land, whatever its size."""
    return float((one * other).sum() / (one.square().sum() * other.square().sum()).sqrt())


def sampled_row(state: State, truth: State, context: EvaluationContext) -> dict[str, float]:
    """The metrics of an evaluation's row, with spectra by thirds and variance by volume."""
    volume = cell_volume(context.grid)
    variances = {
        f"variance_ratio_{field}": variance_ratio(
            getattr(state, field), getattr(truth, field), volume
        )
        for field in VARIABLES
    }
    places = {SURFACE: [0.0], "thermocline": thermocline_depths(context.grid)}
    spectra = {
        f"spectrum_ratio_{place}_third_{third}": ratio
        for place, depths in places.items()
        for third, ratio in enumerate(_thirds(state, truth, depths, context), start=1)
    }
    return evaluate_row(state, truth, context) | variances | spectra


def _thirds(
    state: State, truth: State, depths: list[float], context: EvaluationContext
) -> tuple[float, float, float]:
    """Power of T anomalies from each ensemble's own mean, of samples over truth."""
    ours, theirs = (
        zonal_spectra(field, context.grid, climatology=field.mean(dim=0), depths=depths)
        for field in (state.temperature.double(), truth.temperature.double())
    )
    return third_ratios(ours, theirs)


@torch.no_grad()
def sampled_latents(experiment: Experiment) -> Tensor:
    """The latents `b c h w` of the experiment's unguided ensemble, drawn as sampling draws it."""
    settings = experiment.sampling
    pipeline = StatePipeline.from_pretrained(model_directory(experiment.run_directory))
    pipeline.set_progress_bar_config(disable=True)
    members = [member_generator(settings.seed, member) for member in range(settings.members)]
    parts = [
        pipeline(generators=members[first : first + settings.batch_size], steps=settings.steps)
        for first in range(0, len(members), settings.batch_size)
    ]
    return torch.cat([part.latents for part in parts])


def decoded_in_parts(codec: StateCodec, latents: Tensor) -> State:
    """States of latents `b c h w`, a few at a time."""
    with torch.no_grad():
        return State.cat([codec.decode(part) for part in latents.split(BATCH)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison as JSON, and write it to a file if one is given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="YAML of the experiment")
    parser.add_argument("--split", default="validation", help="of the archive (validation)")
    parser.add_argument("--output", type=Path, help="JSON file to write as well")
    options, overrides = parser.parse_known_args(arguments)
    with user_errors_in_one_sentence():
        result = compare_restored(load_experiment(options.config, overrides), split=options.split)
        print(json.dumps(result, indent=2))
        if options.output:
            write_json(options.output, result)


if __name__ == "__main__":
    main()
