"""Networks in folders that may come from anywhere: held against their files before they are built.

A configuration claims sizes, and the safetensors file has them. They are compared on torch's meta
device, where a network takes no memory, and without importing anything that a file names.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ModelMixin
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from data.checksums import check_folder
from data.documents import read_object, reason
from data.errors import UserError, shown

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model*.safetensors"  # of large networks: several files
ADVICE = "copy or make the folder again"
# What other numbers are divided by, or a logarithm is taken of.
POSITIVE = {"statistics.std", "latent_unit", "weights", "variances", "remainder", "scale"}
LAYERS = ("blocks", "layers_per_block")  # settings that repeat layers, each with own tensors

Network = TypeVar("Network", bound=ModelMixin)
Shapes = dict[str, tuple[int, ...]]


def load_network(folder: Path, kind: type[Network]) -> Network:
    """The network of class `kind` in a folder with config.json and safetensors.

    Raises `UserError` if something is missing or damaged, or if sizes or numbers make no sense.
    """
    check_folder(folder)
    check_network(folder, kind)
    with loading(folder):
        network = kind.from_pretrained(folder, **LOCALLY)
    in_full_precision([network])
    check_numbers(network, folder)
    network.register_to_config(_name_or_path="")  # diffusers would save the path with the network
    return network


# Never a look on the network, and never a pickle.
LOCALLY = {"use_safetensors": True, "local_files_only": True}


def in_full_precision(components: Iterable[object]) -> None:
    """Convert networks with rounded weights to single precision; what is better stays so."""
    for component in components:
        if isinstance(component, ModelMixin):
            nn.Module.float(component)  # that of diffusers warns of layers that there are none of


def check_network(folder: Path, kind: type[ModelMixin]) -> None:
    """Raise `UserError` unless the files in `folder` hold the network that its config describes."""
    config = read_object(folder / CONFIG, advice=ADVICE)
    if config.get("_class_name") != kind.__name__:
        raise UserError(
            f"{folder / CONFIG} is of a {shown(config.get('_class_name'))}: expected a "
            f"{kind.__name__}; {ADVICE}."
        )
    found = _stored_shapes(folder)
    _refuse_more_than_stored(config, folder, tensors=len(found))
    with loading(folder):
        expected = _shapes_of(kind, config)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{folder} is damaged or mixed up: {shown(name)} has the shape "
                f"{shown(found.get(name))} in its weights, by its {CONFIG} "
                f"{shown(expected.get(name))}; {ADVICE}."
            )


def check_numbers(network: nn.Module, folder: Path) -> None:
    """Raise `UserError` for weights or statistics that are not finite, or not positive."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise UserError(f"{folder} has NaN or infinity in {name}: {ADVICE}.")
        if name in POSITIVE and not bool((tensor > 0).all()):
            raise UserError(
                f"{folder} has {float(tensor.min()):g} in {name}: expected numbers above 0; "
                f"{ADVICE}."
            )


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Context of loading a folder: whatever a library raises becomes one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"{folder} cannot be loaded as a model ({type(error).__name__}: {reason(error)}): "
            f"{ADVICE}."
        ) from error


def _stored_shapes(folder: Path) -> Shapes:
    """Shapes of the tensors in the safetensors files of a folder, from their headers."""
    files = sorted(folder.glob(WEIGHTS))
    if not files:
        raise UserError(f"{folder} holds no weights ({WEIGHTS}): {ADVICE}.")
    shapes: Shapes = {}
    for path in files:
        if not path.is_file():
            raise UserError(f"{path} is not a file: {ADVICE}.")
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read ({reason(error)}): {ADVICE}.") from error
    return shapes


def _refuse_more_than_stored(config: dict[str, Any], folder: Path, *, tensors: int) -> None:
    """Raise `UserError` for more layers than tensors: to build them only to count takes long."""
    design = config.get("design")
    for section in (config, design if isinstance(design, dict) else {}):
        for name in LAYERS:
            count = section.get(name)
            if isinstance(count, int) and count > tensors:
                raise UserError(
                    f"{folder / CONFIG} has {name} {shown(count)}, more than the {tensors} tensors "
                    f"of its weights: {ADVICE}."
                )


def _shapes_of(kind: type[ModelMixin], config: dict[str, Any]) -> Shapes:
    """Shapes of a network's tensors by its configuration."""
    with torch.device("meta"):
        network: nn.Module = kind.from_config(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite; one sum is cheaper than a mask, and keeps NaN."""
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
