"""A process's share of the training and the validation samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from data.batches import Samples, counted_loader
from training.schedule import TrainingPlan


def batches_from_counter(
    samples: Samples, *, plan: TrainingPlan, accelerator: Accelerator, workers: int
) -> Callable[[int], Iterator[Tensor]]:
    """A function from a sample counter to this process's endless batches from there on."""

    def batches(counter: int) -> Iterator[Tensor]:
        loader = counted_loader(
            samples,
            batch_size=plan.batch_size,
            seed=plan.seed,
            start=counter,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            workers=workers,
        )
        return (batch for batch, _ in loader)

    return batches


def batches_once(
    samples: Samples, *, plan: TrainingPlan, accelerator: Accelerator
) -> Callable[[], Iterator[Tensor]]:
    """A function that goes once over this process's share of the validation samples, in order."""
    share = range(accelerator.process_index, len(samples), accelerator.num_processes)
    loader = DataLoader(Subset(samples, share), batch_size=plan.batch_size)
    return lambda: (batch for batch, _ in loader)
