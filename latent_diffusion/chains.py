"""Chains of the teacher, stored at the noise levels between which the student steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import SchedulerMixin
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from data.atomic import atomic_write
from data.batches import Samples
from data.errors import UserError
from data.tensor_sums import load_tensors, save_tensors
from latent_diffusion.denoiser import NoiseLevel, noise_level
from latent_diffusion.noise import member_generator
from latent_diffusion.objective import Batch, ConditionalLatents
from latent_diffusion.pipeline import StatePipeline
from training.launch import end_if_stopped, launched_processes
from training.stopping import stop_requested, stops_deferred

CHAINS_PER_FILE = 64


@dataclass(frozen=True)
class Chains(Samples):
    """Chains `k c h w`: samples before each of the student's steps, and the final sample.

    places: file and row of each chain; chains are read on access
    """

    places: Sequence[tuple[Path, int]]

    @classmethod
    def of(cls, files: Sequence[Path]) -> Chains:
        """All chains in the files, in order."""
        return cls([(file, row) for file in files for row in range(_count(file))])

    def split(self, *, held_out: int) -> tuple[Chains, Chains]:
        """One in `held_out` chains (at least one), and all others."""
        count = max(1, len(self) // held_out)
        return Chains(self.places[:count]), Chains(self.places[count:])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> tuple[Batch, int]:
        file, row = self.places[item]
        with safe_open(file, framework="pt") as stored:
            chain = stored.get_slice("chains")[row]
            if "features" not in stored.keys():  # noqa: SIM118 (not a mapping)
                return chain, item
            return ConditionalLatents(chain, stored.get_slice("features")[row]), item


def draw_chains_into(
    folder: Path,
    *,
    teacher: StatePipeline,
    student: SchedulerMixin,
    count: int,
    batch_size: int,
    seed: int,
) -> list[Path]:
    """Draw `count` chains of the teacher and return their files; undamaged files are kept.

    teacher: draws chains of its own default number of steps
    student: the student's scheduler, set to its steps

    Processes share the work. Raises `UserError` if the teacher's chain does not pass through the
    noise levels of the student's, and `Stopped`, after the current files, if one was asked to stop.
    """
    every = _teacher_steps_per_step(teacher, student)
    folder.mkdir(parents=True, exist_ok=True)
    processes = launched_processes()
    starts = range(0, count, CHAINS_PER_FILE)
    files = {start: folder / f"{start:07d}.safetensors" for start in starts}
    mine = list(starts)[processes.process_index :: processes.num_processes]
    with stops_deferred():
        for start in tqdm(
            mine, desc="teacher's chains", unit="file", disable=not processes.is_main_process
        ):
            members = range(start, min(start + CHAINS_PER_FILE, count))
            if stop_requested():
                break
            if not _holds(files[start], members):
                generators = [member_generator(seed, member) for member in members]
                batches = [
                    draw_chains(teacher, generators[first : first + batch_size], every=every)
                    for first in range(0, len(generators), batch_size)
                ]
                with atomic_write(files[start]) as partial:
                    save_tensors(_joined(batches), partial, about=_origin(members))
        end_if_stopped()
    return list(files.values())


@torch.no_grad()
def draw_chains(
    teacher: StatePipeline, generators: Sequence[torch.Generator], *, every: int
) -> dict[str, Tensor]:
    """Unguided `chains` `b k c h w`: the initial noise and the sample after every `every` steps.

    Those of a conditional teacher have `features` `b f`: of random training members.
    """
    teacher.set_steps(teacher.steps)
    frame = teacher.frame(None, generators)
    sample = teacher.initial_noise(generators)
    kept = [sample]
    for index in range(teacher.steps):
        sample = teacher.advance(sample, index, generators=generators, frame=frame)
        if (index + 1) % every == 0:
            kept.append(sample)
    chains = {"chains": torch.stack(kept, dim=1)}
    return chains | ({"features": frame.features} if frame else {})


def levels_of(scheduler: SchedulerMixin) -> list[NoiseLevel]:
    """Amplitudes before each step of the scheduler, and at the end of its chain."""
    steps = range(len(scheduler.timesteps))
    return [*(noise_level(scheduler, step) for step in steps), NoiseLevel(1.0, 0.0)]


def _teacher_steps_per_step(teacher: StatePipeline, student: SchedulerMixin) -> int:
    teacher.set_steps(teacher.steps)
    every = teacher.steps // len(student.timesteps)
    timesteps = teacher.scheduler.timesteps.cpu()
    passed = timesteps[::every]
    if len(timesteps) != teacher.steps or timesteps[-1] < 0:
        raise UserError(
            f"{type(teacher.scheduler).__name__} does not support {teacher.steps} steps; lower "
            "distillation.teacher_steps"
        )
    if not torch.equal(passed, student.timesteps.cpu()):
        raise UserError(
            f"the teacher's {teacher.steps} steps pass through the timesteps {passed.tolist()}, "
            f"but the student's steps begin at {student.timesteps.tolist()}; set "
            "sampling.scheduler_options.timestep_spacing to trailing or change the number of steps"
        )
    return every


def _joined(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([one[name].cpu() for one in batches]) for name in batches[0]}


def _holds(file: Path, members: range) -> bool:
    """Whether an undamaged file holds the chains of these members."""
    try:
        return load_tensors(file)[1] == _origin(members)
    except UserError:
        return False


def _origin(members: range) -> dict[str, str]:
    return {"members": f"{members.start} to {members.stop - 1}"}


def _count(file: Path) -> int:
    with safe_open(file, framework="pt") as stored:
        return stored.get_slice("chains").get_shape()[0]
