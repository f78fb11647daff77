"""What a caller of the pipeline asks for: how many states, of which noise, at which conditions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeGuard

import numpy as np
import torch

from data.conditions import Conditions
from data.errors import UserError, meant
from latent_diffusion.expectation import Expectation
from latent_diffusion.noise import member_generator
from latent_diffusion.points import conditions_of, open_generators

Value = float | Sequence[float]
MOST_SEED = 2**31  # of a random seed, so that it is easily written down
# Arguments of pipelines of images, and what to do instead.
_OF_OTHERS = {
    "guidance_scale": "it weighs a text against no text in pipelines of images; hydrostatic "
    "guidance has no such weight: give guided=False to switch it off, or change the weights of its "
    "terms in the configuration",
    "batch_size": "give members, the number of states, or at_once, how many are drawn together",
    "num_images_per_prompt": "give members, the number of states",
    "output_type": "the call returns an xarray.Dataset, and pipeline.draw returns tensors",
    "return_dict": "the call returns an xarray.Dataset, and pipeline.draw returns tensors",
    "generators": "give generator, or call pipeline.draw(generators=...) for tensors",
    "guide": "give guided=False, or call pipeline.draw(guide=...) with a guide of your own",
    "conditions": "give at={name: value}, or call pipeline.draw(conditions=...)",
}
_KNOWN = (
    *("members", "seed", "generator", "steps", "num_inference_steps", "at", "certain"),
    *("extrapolate", "guided", "adjusted", "at_once"),
)


class Part(NamedTuple):
    """States that are drawn together: their noise and, if there are any, their conditions."""

    generators: list[torch.Generator]
    given: Conditions | None


@dataclass(frozen=True)
class Request:
    """States to draw.

    generators: the noise of each; conditions: of each, None for a model without
    seeds: what the noise comes from, as attributes of a dataset
    """

    generators: list[torch.Generator]
    conditions: Conditions | None
    seeds: dict[str, object]

    def parts(self, size: int) -> Iterator[Part]:
        """Parts of at most `size` states. Raises `UserError` for a size below 1."""
        _check_count("at_once", size)
        for start in range(0, len(self.generators), size):
            rows = range(start, min(start + size, len(self.generators)))
            given = self.conditions.at(rows) if self.conditions else None
            yield Part([self.generators[row] for row in rows], given)


def request(
    *,
    members: int | None,
    seed: int | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    at: Mapping[str, Value],
    expectation: Expectation | None,
    certain: bool,
    extrapolate: bool,
) -> Request:
    """The states that the arguments of `StatePipeline.__call__` ask for.

    Raises `UserError` for arguments that contradict each other or do not fit the model.
    """
    if seed is not None and generator is not None:
        raise UserError("there are a seed and a generator: give one of them")
    members = _members(members, generator, at)
    if generator is None:
        seed = secrets.randbelow(MOST_SEED) if seed is None else seed
        generators = [member_generator(seed, member) for member in range(members)]
        seeds: dict[str, object] = {"seed": seed}
        of_open = open_generators(seed, members)
    else:
        generators = of_open = _generators(generator, members)
        seeds = {"generator_seeds": [one.initial_seed() for one in generators]}
    if expectation is None:
        if at or certain or extrapolate:
            raise UserError("the model has no conditions: leave out at, certain and extrapolate")
        return Request(generators, None, seeds)
    conditions = conditions_of(
        {name: _values(name, value, members) for name, value in at.items()},
        expectation=expectation,
        generators=of_open,
        certain=certain,
        extrapolate=extrapolate,
    )
    return Request(generators, conditions, seeds)


def steps_of(
    steps: int | None, num_inference_steps: int | None, others: Mapping[str, object]
) -> int | None:
    """The number of steps that is asked for, by either name.

    Raises `UserError` if they differ or are below 1, and for `others`, arguments that are unknown.
    """
    for name in others:
        _refuse(name)
    if None not in (steps, num_inference_steps) and steps != num_inference_steps:
        raise UserError(
            f"steps is {steps} and num_inference_steps is {num_inference_steps}: they are the "
            "same, so give one of them"
        )
    found = num_inference_steps if steps is None else steps
    if found is not None:
        _check_count("steps", found)
    return found


def _refuse(name: str) -> NoReturn:
    advice = _OF_OTHERS.get(name)
    if advice is None:
        advice = f"it takes {', '.join(_KNOWN)}{meant(name, _KNOWN)}"
    raise UserError(f"the pipeline takes no {name}: {advice}")


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{name} is {value}: give a whole number, 1 or more")


def _members(
    members: int | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    at: Mapping[str, Value],
) -> int:
    """The number of states, which several arguments may imply."""
    sizes = {f"at {name}": len(v) for name, v in at.items() if _is_list(v)}
    if generator is not None and not isinstance(generator, torch.Generator):
        sizes["generator"] = len(generator)
    if members is not None:
        sizes["members"] = members
    for name, size in sizes.items():
        _check_count("members" if name == "members" else f"the length of {name}", size)
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} is for {size}" for name, size in sizes.items())
        raise UserError(f"the number of states is not clear ({found}): give one for each state")
    return next(iter(sizes.values()), 1)


def _is_list(value: Value) -> TypeGuard[Sequence[float]]:
    return not isinstance(value, str) and hasattr(value, "__len__")


def _generators(
    generator: torch.Generator | Sequence[torch.Generator], members: int
) -> list[torch.Generator]:
    """One CPU generator for each state."""
    if isinstance(generator, torch.Generator):
        device = generator.device
        seeds = torch.randint(2**62, (members,), generator=generator, device=device).tolist()
        return [torch.Generator().manual_seed(seed) for seed in seeds]
    for one in generator:
        if not isinstance(one, torch.Generator) or one.device.type != "cpu":
            raise UserError(
                "generator lists something else than generators of the CPU: give one "
                "torch.Generator() for each state; states are then the same on every device"
            )
    return list(generator)


def _values(name: str, value: Value, members: int) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), members)
    except (TypeError, ValueError):
        raise UserError(f"{name} is {value!r}: give a number, or one for each state") from None
