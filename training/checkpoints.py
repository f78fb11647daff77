"""Training checkpoints of safetensors and JSON, written atomically.

A checkpoint is a folder named after the sample counter. It is written under a temporary name and
renamed, so an interrupted write leaves no checkpoint. Nothing is pickled. Folders of other names,
such as copies by the user, are never touched.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data.atomic import atomic_folder, remove_folder
from data.checks import are_finite
from data.checksums import check_folder, write_checksums
from data.errors import UserError
from training.environment import ENVIRONMENT, warn_of_other_environment, write_environment
from training.records import PREFIX, checkpoints_in, counter_of

FILES = ("network", "ema", "optimizer")


def save_checkpoint(
    directory: Path,
    *,
    counter: int,
    network: nn.Module,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, object],
    kept: int,
) -> Path:
    """Write a checkpoint of the unwrapped network; all but the last `kept` are deleted.

    `identity` describes the run (seed, batch size, network); `load_checkpoint` compares it.
    """
    target = directory / f"{PREFIX}{counter:09d}"
    contents = _contiguous(network.state_dict()), _numbered(ema.shadow_params), _flatten(optimizer)
    with atomic_folder(target) as partial:
        for name, tensors in zip(FILES, contents, strict=True):
            save_file(tensors, partial / f"{name}.safetensors")
        stored = {**identity, "counter": counter}
        (partial / "identity.json").write_text(json.dumps(stored, indent=2, sort_keys=True))
        write_environment(partial)
        write_checksums(partial)
    for older in checkpoints_in(directory)[:-kept]:
        remove_folder(older)
    return target


def load_checkpoint(
    checkpoint: Path,
    *,
    network: nn.Module,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, object],
) -> None:
    """Restore a checkpoint.

    Raises `UserError` if it is damaged, has other settings or holds numbers that are not finite.
    Warns if it was written in another environment.
    """
    _check_sums(checkpoint)
    try:
        stored = json.loads((checkpoint / "identity.json").read_text())
        weights, shadow, moments = (load_file(checkpoint / f"{name}.safetensors") for name in FILES)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{checkpoint} cannot be read ({error}); remove it to go on from the one before"
        ) from error
    _check_identity(checkpoint, stored, {**identity, "counter": counter_of(checkpoint)})
    _check_environment(checkpoint)
    if not are_finite([*weights.values(), *shadow.values(), *moments.values()]):
        raise UserError(
            f"{checkpoint} holds numbers that are not finite; remove it to go on from the one "
            "before"
        )
    network.load_state_dict(weights)
    ema.shadow_params = [
        shadow[f"{i:05d}"].to(parameter.device) for i, parameter in enumerate(ema.shadow_params)
    ]
    _unflatten(optimizer, moments)


def _check_sums(checkpoint: Path) -> None:
    try:
        check_folder(checkpoint)
    except UserError as error:
        advice = f"Without {checkpoint.name} training goes on from the checkpoint before."
        raise UserError(f"{error} {advice}") from error


def _check_identity(
    checkpoint: Path, stored: dict[str, object], identity: dict[str, object]
) -> None:
    current = json.loads(json.dumps(identity))
    differing = sorted(
        key for key in stored.keys() | current.keys() if stored.get(key) != current.get(key)
    )
    if differing:
        raise UserError(
            f"{checkpoint} was written with other settings ({', '.join(differing)} differ); "
            "use another run directory, or remove its checkpoints to train from the start"
        )


def _check_environment(checkpoint: Path) -> None:
    path = checkpoint / ENVIRONMENT
    stored = json.loads(path.read_text()) if path.is_file() else {}
    warn_of_other_environment(checkpoint, stored)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _numbered(tensors: list[Tensor]) -> dict[str, Tensor]:
    return _contiguous({f"{index:05d}": tensor for index, tensor in enumerate(tensors)})


def _flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's per-parameter tensors; its settings come from the training plan."""
    state = optimizer.state_dict()["state"]
    return _contiguous(
        {
            f"{index:05d}.{name}": tensor
            for index, entry in state.items()
            for name, tensor in entry.items()
        }
    )


def _unflatten(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state_dict = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    state_dict["state"] = state
    optimizer.load_state_dict(state_dict)
