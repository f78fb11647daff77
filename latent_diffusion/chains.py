"""A teacher's chains, kept at the noise levels where a student's steps begin and end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import SchedulerMixin
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from data.batches import Samples
from data.errors import UserError
from data.whole import whole
from latent_diffusion.denoiser import NoiseLevel, noise_level
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.sample import member_generator
from training.launch import launched_processes

CHAINS_IN_A_FILE = 64


class Chains(Samples):
    """Chains `n k c h w` at the beginning of each of the student's steps, and at the end.

    files: in order, each read chain by chain
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._places = [(file, row) for file in files for row in range(_count(file))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        file, row = self._places[item]
        with safe_open(file, framework="pt") as stored:
            return stored.get_slice("chains")[row], item


def draw_chains_into(
    folder: Path, *, teacher: StatePipeline, student: SchedulerMixin, count: int, seed: int
) -> list[Path]:
    """Files of `count` chains of the teacher; those that are there are not drawn again.

    teacher: in chains of as many steps as it has by itself
    student: the student's scheduler, set to its steps

    Processes share the work. Raises `UserError` if the teacher's steps do not pass through the
    noise levels of the student's.
    """
    every = _teacher_steps_in_one(teacher, student)
    folder.mkdir(parents=True, exist_ok=True)
    processes = launched_processes()
    starts = list(range(0, count, CHAINS_IN_A_FILE))
    files = [folder / f"{start:07d}.safetensors" for start in starts]
    mine = list(zip(starts, files, strict=True))[processes.process_index :: processes.num_processes]
    for start, file in tqdm(
        mine, desc="teacher's chains", unit="file", disable=not processes.is_main_process
    ):
        if not file.exists():
            members = range(start, min(start + CHAINS_IN_A_FILE, count))
            generators = [member_generator(seed, member) for member in members]
            with whole(file) as partial:
                chains = draw_chains(teacher, generators, every=every)
                save_file({"chains": chains.cpu().contiguous()}, partial)
    processes.wait_for_everyone()
    return files


@torch.no_grad()
def draw_chains(
    teacher: StatePipeline, generators: Sequence[torch.Generator], *, every: int
) -> Tensor:
    """Samples `b k c h w` of unguided chains: the noise, and what each `every` steps lead to."""
    teacher.set_steps(teacher.steps)
    sample = teacher.initial_noise(generators)
    kept = [sample]
    for index in range(teacher.steps):
        sample = teacher.advance(sample, index, generators=generators)
        if (index + 1) % every == 0:
            kept.append(sample)
    return torch.stack(kept, dim=1)


def _teacher_steps_in_one(teacher: StatePipeline, student: SchedulerMixin) -> int:
    teacher.set_steps(teacher.steps)
    every = teacher.steps // len(student.timesteps)
    passed = teacher.scheduler.timesteps[::every].cpu()
    if not torch.equal(passed, student.timesteps.cpu()):
        raise UserError(
            f"the teacher's {teacher.steps} steps pass through the timesteps {passed.tolist()} "
            f"where the student's steps begin at {student.timesteps.tolist()}; set "
            "sampling.scheduler_options.timestep_spacing to trailing, or other numbers of steps"
        )
    return every


def levels_of(scheduler: SchedulerMixin) -> list[NoiseLevel]:
    """Amplitudes where each step of the scheduler begins, and at the end of its chain."""
    steps = range(len(scheduler.timesteps))
    return [*(noise_level(scheduler, step) for step in steps), NoiseLevel(1.0, 0.0)]


def chains_folder(directory: Path, settings: dict[str, object]) -> Path:
    """Where chains that `settings` describe are kept, apart from any others."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return directory / f"chains-{digest}"


def _count(file: Path) -> int:
    with safe_open(file, framework="pt") as stored:
        return stored.get_slice("chains").get_shape()[0]
