"""A process's share of the training and the validation samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from torch.utils.data import DataLoader, Subset

from data.batches import Samples, counted_loader
from data.errors import UserError
from training.plan import TrainingPlan


def training_batches(
    samples: Samples, *, start: int, plan: TrainingPlan, accelerator: Accelerator
) -> Iterator[Any]:
    """This process's share of endless batches, from sample number `start` of the run on."""
    loader = counted_loader(
        samples,
        batch_size=plan.batch_size,
        seed=plan.seed,
        start=start,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        workers=plan.workers,
    )
    return (batch for batch, _ in loader)


def check_shares(samples: Samples, *, accelerator: Accelerator) -> None:
    """Raise `UserError` if some process would have no validation state, before training begins."""
    if len(samples) < accelerator.num_processes:
        raise UserError(
            f"{len(samples)} validation state{'s' * (len(samples) != 1)} cannot be shared by "
            f"{accelerator.num_processes} processes: launch fewer, or split the data with more "
            "validation states"
        )


def validation_batches(
    samples: Samples, *, plan: TrainingPlan, accelerator: Accelerator
) -> Iterator[tuple[Any, int]]:
    """This process's share of the validation samples, once and in order.

    Batches have at most as many states as those of training, and come with their number of states.
    """
    processes = accelerator.num_processes
    share = range(accelerator.process_index, len(samples), processes)
    loader = DataLoader(Subset(samples, share), batch_size=max(plan.batch_size // processes, 1))
    return ((batch, len(numbers)) for batch, numbers in loader)
