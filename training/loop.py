"""The training loop of all stages; everything is a function of the number of samples seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import convert_to_fp32, send_to_device
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from data.batches import Samples
from data.checks import are_finite
from data.errors import Stopped, UserError
from training.batches import check_shares, training_batches, validation_batches
from training.checkpoints import load_checkpoint, save_checkpoint
from training.cost import as_time
from training.launch import in_any_process, mixed_precision, on_main
from training.log import MetricsLog
from training.plan import TrainingPlan
from training.records import counter_of, latest_checkpoint
from training.stopping import stop_requested, stops_deferred

WARM, TIMED = 5, 20  # first steps, which take longer, and those that the duration is estimated from


class Trainer:
    """Trains a module according to a plan; resumes exactly from its last checkpoint.

    objective: its forward takes a batch and a noise generator and returns named losses, of which
        "loss" is minimised. Network and loss are one module: distributed training synchronises
        gradients only for what runs inside the wrapped forward.
    training, validation: the samples of both splits
    cut: takes a part of a batch, drawn with a generator, before it is sent to the device; None: all
    identity: further values that a checkpoint must share to be resumed, such as the data's digest
    """

    def __init__(
        self,
        objective: nn.Module,
        *,
        plan: TrainingPlan,
        training: Samples,
        validation: Samples,
        accelerator: Accelerator,
        directory: Path,
        label: str,
        identity: dict[str, object],
        cut: Callable[[Any, torch.Generator], Any] | None = None,
    ) -> None:
        self.plan = plan
        self._cut = cut
        self.accelerator = accelerator
        self.mixed_precision = mixed_precision(plan.precision)
        self.directory = directory
        self._label = label
        self._extra_identity = identity
        check_shares(validation, accelerator=accelerator)
        self._training, self._validation = training, validation
        self._parameters = [p for p in objective.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            self._parameters,
            lr=plan.learning_rate_at(0),
            weight_decay=plan.weight_decay,
            betas=(0.9, 0.99),
        )
        self.objective, self._optimizer = accelerator.prepare(objective, optimizer)
        self.ema = EMAModel(self._parameters, decay=plan.ema_decay, use_ema_warmup=True, power=0.75)
        self.counter = 0

    def run(self) -> None:
        """Train to the end of the plan, from the last checkpoint if there is one.

        Raises `UserError` once the training has diverged, and `Stopped`, after a checkpoint, if any
        process was asked to stop.
        """
        self._resume()
        log = self._open_log()
        if self.accelerator.is_main_process:
            print(self._announcement, flush=True)
        bar = tqdm(
            total=self.plan.samples,
            initial=self.counter,
            unit="sample",
            desc=self._label,
            disable=not self.accelerator.is_main_process,
        )
        began = 0.0
        with bar, stops_deferred():
            for number, batch in enumerate(self.batches(self.counter)):
                if self.counter >= self.plan.samples:
                    break
                if number == WARM:
                    began = time.monotonic()
                losses = self.step(batch)
                bar.update(self.plan.batch_size)
                self._after_step(losses, log, bar)
                if number + 1 == WARM + TIMED:
                    self._tell_duration((time.monotonic() - began) / TIMED, bar)
        # `end_training` would also destroy the process group, which later stages need.
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _tell_duration(self, seconds: float, bar: tqdm[Any]) -> None:
        """Print how long the rest takes, for logs in files, where the bar is hard to read.

        seconds: of a step
        """
        steps = math.ceil((self.plan.samples - self.counter) / self.plan.batch_size)
        if self.accelerator.is_main_process and steps > 0:
            bar.write(f"{self._label}: about {as_time(steps * seconds)} to the end, {steps} steps")

    @property
    def _announcement(self) -> str:
        """What the training is about to do, in a line."""
        plan, processes = self.plan, self.accelerator.num_processes
        steps = math.ceil(plan.samples / plan.batch_size)
        shared = f"; {processes} processes share each batch" if processes > 1 else ""
        begun = f"; continues at sample {self.counter}" if self.counter else ""
        return (
            f"{self._label}: {plan.samples} samples in {steps} steps of {plan.batch_size}"
            f"{shared}{begun}"
        )

    def batches(self, start: int) -> Iterator[Any]:
        """This process's share of the training batches, from sample number `start` on."""
        return training_batches(
            self._training, start=start, plan=self.plan, accelerator=self.accelerator
        )

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within this context the network holds its averaged (EMA) weights."""
        self.ema.store(self._parameters)
        self.ema.copy_to(self._parameters)
        try:
            yield
        finally:
            self.ema.restore(self._parameters)

    def adopt_averaged_weights(self) -> None:
        """Replace the weights of the network by their average (EMA), at the end of training."""
        self.ema.copy_to(self._parameters)

    def step(self, batch: Any) -> dict[str, Tensor]:
        """One step of the optimiser on this process's share of a batch; returns the losses.

        batch: a tensor or a named tuple of tensors, as the samples have
        """
        losses = self._backward(batch, self._generator(self.counter))
        self._update()
        return losses

    def step_of_processes(self, shares: Sequence[Any]) -> None:
        """The step of as many processes as there are shares of a batch, taken by this one alone.

        Their noise and the mean of their gradients are those of the processes, to rounding.
        """
        for process, share in enumerate(shares):
            generator = self._generator(self.counter, process)
            self._backward(share, generator, weight=1 / len(shares))
        self._update()

    def _backward(
        self, batch: Any, generator: torch.Generator, *, weight: float = 1.0
    ) -> dict[str, Tensor]:
        """Add the gradients of the losses of a batch, times `weight`, to those of the network."""
        torch.manual_seed(generator.initial_seed())  # dropout draws from the global generator
        self.objective.train()
        losses = self._losses(batch, generator)
        self.accelerator.backward(losses["loss"] * weight)
        return losses

    def _update(self) -> None:
        """Change weights and averages by the gradients, and count the samples."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.learning_rate_at(self.counter)
        self.accelerator.clip_grad_norm_(self._parameters, self.plan.gradient_clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.ema.step(self._parameters)
        self.counter += self.plan.batch_size

    def _losses(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        part = batch if self._cut is None else self._cut(batch, generator)
        device = self.accelerator.device
        with self._precision(device):
            losses = self.objective(send_to_device(part, device), generator)
        return convert_to_fp32(losses)

    def _precision(self, device: torch.device) -> AbstractContextManager[object]:
        """A context in which networks compute in the precision of the plan."""
        if self.mixed_precision == "no":
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def _after_step(
        self, losses: dict[str, Tensor], log: MetricsLog | None, bar: tqdm[Any]
    ) -> None:
        # Found at once: the last checkpoints must survive, and no time be lost.
        stop, diverged = in_any_process(stop_requested(), not are_finite([losses["loss"]]))
        if diverged:
            raise self._divergence("its loss is not a number")
        if self.plan.due(self.counter, self.plan.validation_samples):
            self._log(losses, log, bar)
        if stop or self.plan.due(self.counter, self.plan.checkpoint_samples):
            self._save()
        if stop:
            raise Stopped("a signal, after a checkpoint")

    def _log(self, losses: dict[str, Tensor], log: MetricsLog | None, bar: tqdm[Any]) -> None:
        self._refuse_divergence()
        values = self._means(losses, prefix="train") | self._validate()
        bar.set_postfix({"validation": f"{values['validation/loss']:.4g}"})
        self.accelerator.log(values, step=self.counter)
        if log is not None:
            log.write(self.counter, values)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Mean losses of the averaged weights over the validation split, under fixed noise.

        Each state counts alike, whatever the size of its batch and the number of processes.
        """
        self.objective.eval()
        generator = self._generator(0)
        totals: dict[str, list[Tensor]] = {}
        with self.averaged_weights():
            for batch, states in validation_batches(
                self._validation, plan=self.plan, accelerator=self.accelerator
            ):
                for name, loss in self._losses(batch, generator).items():
                    totals.setdefault(name, []).append(states * loss)
        # Processes have different numbers of states, and `_means` weights processes alike.
        weight = self.accelerator.num_processes / len(self._validation)
        return self._means(
            {k: weight * torch.stack(v).sum() for k, v in totals.items()}, prefix="validation"
        )

    def _refuse_divergence(self) -> None:
        """Raise UserError unless weights, averages and moments are finite in every process."""
        moments = (value for state in self._optimizer.state.values() for value in state.values())
        kept = [*self._parameters, *self.ema.shadow_params, *moments]
        (diverged,) = in_any_process(not are_finite(kept))
        if diverged:
            raise self._divergence("its weights or their averages are not finite")

    def _divergence(self, found: str) -> UserError:
        setting = f"{self._label}.training.learning_rate"
        advice = f"lower {setting} and run again"
        last = latest_checkpoint(self.directory)
        if last is not None:
            peaks = self.plan.lower_from(counter_of(last))
            advice = (
                f"to go on from {last} with a lower rate, set {setting} to {peaks} and run again; "
                "if that does not help, remove this checkpoint to go on from the one before"
            )
        return UserError(
            f"the {self._label} training diverged before sample {self.counter} ({found}); {advice}"
        )

    def _means(self, losses: dict[str, Tensor], *, prefix: str) -> dict[str, float]:
        names = sorted(losses)
        stacked = torch.stack([losses[name].detach().float() for name in names])
        reduced = self.accelerator.reduce(stacked, reduction="mean")
        return {
            f"{prefix}/{name}": float(value) for name, value in zip(names, reduced, strict=True)
        }

    def _generator(self, counter: int, process: int | None = None) -> torch.Generator:
        """Generator for (seed, counter, process): a resumed run draws the same noise.

        process: default: this one
        """
        process = self.accelerator.process_index if process is None else process
        seed = (self.plan.seed * 1_000_003 + counter) * 1009 + process
        return torch.Generator().manual_seed(seed % 2**63)

    def _identity(self, counter: int) -> dict[str, object]:
        shapes = [list(p.shape) for p in self._parameters]
        return {
            **self.plan.identity_at(counter),
            **self._extra_identity,
            "processes": self.accelerator.num_processes,
            "mixed_precision": self.mixed_precision,
            "parameter_shapes": shapes,
        }

    def _resume(self) -> None:
        checkpoint = latest_checkpoint(self.directory)
        if checkpoint is None:
            return
        load_checkpoint(
            checkpoint,
            network=self.accelerator.unwrap_model(self.objective),
            ema=self.ema,
            optimizer=self._optimizer,
            identity=self._identity(counter_of(checkpoint)),
        )
        self.counter = counter_of(checkpoint)
        self.ema.optimization_step = self.counter // self.plan.batch_size
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        self._refuse_divergence()
        # The others wait: no process may read an incomplete checkpoint.
        on_main(
            lambda: save_checkpoint(
                self.directory,
                counter=self.counter,
                network=self.accelerator.unwrap_model(self.objective),
                ema=self.ema,
                optimizer=self._optimizer,
                identity=self._identity(self.counter),
                kept=self.plan.checkpoints_kept,
            )
        )

    def _open_log(self) -> MetricsLog | None:
        self.accelerator.init_trackers(self.directory.name)
        if not self.accelerator.is_main_process:
            return None
        return MetricsLog(self.directory / "metrics.jsonl", resume_at=self.counter)
