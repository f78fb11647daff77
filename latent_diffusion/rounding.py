"""Smaller copies of a trained model: rounded weights, no encoder, fewer patterns.

What is rounded are weights of networks and patterns of principal components: those of the denoiser
as asked, those of codec, Gaussian and expectation to float16, because bfloat16 moves states four
times as far. Statistics, grids, means, variances, conditions and regressions keep their precision:
their numbers are in physical units, or are divided by.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ModelMixin
from safetensors.torch import load_file, save_file
from torch import nn

from autoencoder.codec import VolumeCodec
from data.errors import UserError
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.pipeline import StatePipeline

PRECISIONS = {
    "float8": torch.float8_e4m3fn,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
DENOISER = ("unet", "embedding")
PATTERNS = "patterns"  # the buffers of Gaussian and expectation that are rounded


def make_smaller(
    pipeline: StatePipeline, *, encoder: bool = True, patterns: int | None = None
) -> None:
    """Drop the encoder of a pipeline's codec, or all but the leading `patterns`, in place.

    Raises `UserError` for a codec that has no encoder, and for fewer than one pattern.
    """
    if not encoder:
        pipeline.register_modules(codec=_without_encoder(pipeline.codec))
    if patterns is not None:
        pipeline.register_modules(gaussian=_truncated(pipeline.gaussian, patterns))


def round_weights(folder: Path, pipeline: StatePipeline, precision: str) -> None:
    """Round the weights in the safetensors files of a saved pipeline.

    precision: of the denoiser. Raises `UserError` if one of its weights is too large for it; what
    is too large for float16 elsewhere is not rounded.
    """
    if precision == "float32":
        return
    for name, component in pipeline.components.items():
        if isinstance(component, ModelMixin):
            dtype = PRECISIONS[precision] if name in DENOISER else torch.float16
            names = _rounded_names(component)
            for file in sorted((folder / name).glob("*.safetensors")):
                _round_file(file, names, dtype, is_required=name in DENOISER)


def _rounded_names(network: nn.Module) -> set[str]:
    parameters = {name for name, _ in network.named_parameters()}
    return parameters | ({PATTERNS} & {name for name, _ in network.named_buffers()})


def _round_file(file: Path, names: set[str], dtype: torch.dtype, *, is_required: bool) -> None:
    tensors = load_file(file)
    for name in names & tensors.keys():
        rounded = tensors[name].to(dtype)
        if bool(rounded.float().isfinite().all()):
            tensors[name] = rounded
        elif is_required:
            raise UserError(
                f"{name} of {file.parent.name} has weights that are too large for {str(dtype)[6:]}"
                ": pack with --weights bfloat16"
            )
    save_file(tensors, file, metadata={"format": "pt"})


def _without_encoder(codec: object) -> VolumeCodec:
    if not isinstance(codec, VolumeCodec):
        raise UserError(f"a {type(codec).__name__} has no encoder that could be left out")
    config = codec.config
    smaller = VolumeCodec(config.ocean, config.multiple, config.design, encodes=False)
    kept = smaller.state_dict().keys()
    smaller.load_state_dict({n: value for n, value in codec.state_dict().items() if n in kept})
    return smaller.eval()


def _truncated(gaussian: MemberGaussians, count: int) -> MemberGaussians:
    """The leading patterns; the variance along the others is spread over all other directions.

    As if the model's Gaussian had been computed with `diffusion.patterns` of `count`.
    """
    if count < 1:
        raise UserError(f"a model cannot have {count} patterns: give at least 1")
    rank = len(gaussian.variances)
    if count >= rank:
        return gaussian
    shape = gaussian.config.latent_shape
    smaller = MemberGaussians(shape, len(gaussian.weights), count)
    values = gaussian.patterns[0].numel()
    lost = gaussian.variances[count:].sum() + (values - rank) * gaussian.remainder
    smaller.weights.copy_(gaussian.weights)
    smaller.means.copy_(gaussian.means)
    smaller.patterns.copy_(gaussian.patterns[:count])
    smaller.variances.copy_(gaussian.variances[:count])
    smaller.remainder.copy_(lost / (values - count))
    return smaller
