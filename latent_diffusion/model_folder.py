"""Checks of a model's folder before anything in it is loaded or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, ModelMixin, UNet2DModel

from autoencoder.codec import IdentityCodec, VolumeCodec
from autoencoder.stored import ADVICE, check_network, check_numbers, loading
from data.checksums import check_folder
from data.documents import read_object
from data.errors import UserError, shown
from latent_diffusion.denoiser import ConditionEmbedding
from latent_diffusion.expectation import Expectation
from latent_diffusion.files import INDEX
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.schedulers import check_stored_schedule, usable_schedulers

# The classes that a component may have; importing another one could run another's code.
NETWORKS: dict[str, tuple[type[ModelMixin], ...]] = {
    "unet": (UNet2DModel,),
    "gaussian": (MemberGaussians,),
    "codec": (VolumeCodec, IdentityCodec),
    "expectation": (Expectation,),
    "embedding": (ConditionEmbedding,),
}
OPTIONAL = ("expectation", "embedding")
ABSENT = [None, None]
MOST_STEPS = 100_000


def check_model(folder: Path) -> None:
    """Raise `UserError`, in one sentence, unless `folder` holds a whole model of ours.

    Compared are checksums, the classes of all components, the configurations and the sizes of the
    weights; nothing is loaded.
    """
    if not folder.is_dir() or not (folder / INDEX).is_file():
        raise UserError(
            f"{folder} holds no model (no {INDEX}): give the folder of a model, such as "
            "runs/quickstart/model; models are not looked up on the network."
        )
    check_folder(folder)
    index = read_object(folder / INDEX, advice=ADVICE)
    if index.get("_class_name") != "StatePipeline":
        raise UserError(
            f"{folder} holds a {shown(index.get('_class_name'))}: expected a StatePipeline."
        )
    _check_steps(index.get("steps"), folder)
    for name, kinds in NETWORKS.items():
        _check_component(name, kinds, index.get(name), folder)
    scheduler = index.get("scheduler")
    if scheduler not in [["diffusers", name] for name in usable_schedulers()]:
        raise _unexpected("scheduler", scheduler, folder)
    check_stored_schedule(folder / "scheduler")


def check_loaded(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Raise `UserError` for numbers that are not finite, or components of different models."""
    for name, component in pipeline.components.items():
        if isinstance(component, ModelMixin):
            check_numbers(component, folder / name)
    with loading(folder):
        differing = next((name for name, (a, b) in _sizes(pipeline).items() if a != b), None)
    if differing:
        raise UserError(f"the parts of {folder} do not fit together ({differing}): {ADVICE}.")


def _sizes(pipeline: DiffusionPipeline) -> dict[str, tuple[Any, Any]]:
    """Pairs of sizes that agree in a whole model."""
    shape, unet = pipeline.codec.latent_shape, pipeline.unet.config
    channels, maps = shape[0], len(pipeline.codec.static_maps)
    sizes = {
        "latents of gaussian and codec": (tuple(pipeline.gaussian.config.latent_shape), shape),
        "channels into unet": (unet.in_channels, 2 * channels + maps),
        "channels out of unet": (unet.out_channels, channels),
    }
    expectation, embedding = pipeline.expectation, pipeline.embedding
    sizes["expectation and embedding"] = (expectation is None, embedding is None)
    if expectation is not None and embedding is not None:
        width = pipeline.unet.time_embedding.linear_2.out_features
        sizes |= {
            "latents of expectation and codec": (tuple(expectation.config.latent_shape), shape),
            "features of embedding": (embedding.config.features, expectation.space.size),
            "width of embedding": (embedding.config.width, width),
            "conditions of unet": (unet.class_embed_type, "identity"),
        }
    return sizes


def _check_steps(steps: object, folder: Path) -> None:
    if not isinstance(steps, int) or not 0 < steps <= MOST_STEPS:
        raise UserError(
            f"{folder / INDEX} has steps {shown(steps)}: expected 1 to {MOST_STEPS}; {ADVICE}."
        )


def _check_component(
    name: str, kinds: tuple[type[ModelMixin], ...], declared: object, folder: Path
) -> None:
    if name in OPTIONAL and declared in (None, ABSENT):
        return
    for kind in kinds:
        if declared == _declaration(kind):
            check_network(folder / name, kind)
            return
    raise _unexpected(name, declared, folder)


def _declaration(kind: type[ModelMixin]) -> list[str]:
    """Library and class as diffusers writes them."""
    library = "diffusers" if kind.__module__.startswith("diffusers.") else kind.__module__
    return [library, kind.__name__]


def _unexpected(name: str, declared: object, folder: Path) -> UserError:
    kinds = [kind.__name__ for kind in NETWORKS.get(name, ())] or ["a scheduler of diffusers"]
    return UserError(
        f"{folder / INDEX} names {shown(declared)} as its {name}: expected "
        f"{' or '.join(kinds)}; {ADVICE}."
    )
