"""Equilibria drawn by a network that sees the running state.

The network of an experiment learns annual means of a member at equilibrium, as residuals about
the equilibrium that a row of the study predicts, which for training members is predicted from the
others. Its further input channels are the latents of the running state, about the same prediction.
The mean of what it draws corrects the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import SchedulerMixin
from einops import rearrange, repeat
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from autoencoder.codec import Codec
from configs.run import Run
from data.basin.ensemble import finished_file
from data.basin.member_files import read_member
from data.batches import Samples
from data.errors import UserError
from data.state import State
from latent_diffusion.denoiser import ConditionEmbedding, Denoiser, noise_level
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.latents import AT_ONCE, LatentCache
from latent_diffusion.noise import member_generator
from latent_diffusion.residuals import ConditionalSamples, Residuals, deviation
from latent_diffusion.schedulers import begin_at, set_timesteps
from latent_diffusion.settings import DiffusionSettings
from latent_diffusion.train import build_network, build_trainer
from studies.partial.members import annual_means
from studies.partial.report import TRAINING, PartialStudy
from studies.partial.rows import OURS, STATE_ALONE
from training.launch import build_accelerator

FloatArray = NDArray[np.float64]
VALIDATION = "validation"
DRAWN = 16  # states, whose mean is the prediction
ROWS: Mapping[str, tuple[str, bool]] = {  # what each corrects, and whether it knows the parameters
    f"{OURS} and network": (OURS, True),
    f"{STATE_ALONE} and network": (STATE_ALONE, False),
}


@dataclass(frozen=True)
class Task:
    """What a network corrects and sees.

    row: of the study, which it corrects; knows_parameters: whether it sees the parameters; seed: of
    its first weights, of the order of its samples, and of the noise
    """

    study: PartialStudy
    codec: Codec
    row: str
    knows_parameters: bool
    seed: int = 0

    def predicted(self, part: str) -> Tensor:
        """Latents `m y c h w` of the equilibria that the row predicts from each year."""
        years = [self.study.predicted(self.row, part, year) for year in self.study.years]
        return self._latents(years)

    def running(self, part: str) -> Tensor:
        """Latents `m y c h w` of the means of each year."""
        records = self.study.records[part]
        return self._latents([records.until(year).last for year in self.study.years])

    def known(self, part: str) -> Tensor:
        """The year and, if they are known, the parameters, `m y f`."""
        years = torch.tensor(self.study.years).log()
        years = (years - years.mean()) / max(1.0, float(years.std()))
        points = torch.from_numpy(self.study.records[part].points).float()
        columns = [repeat(years, "y -> m y 1", m=len(points))]
        if self.knows_parameters:
            columns.append(repeat(points, "m p -> m y p", y=len(years)))
        return torch.cat(columns, dim=2)

    def _latents(self, vectors: Sequence[FloatArray]) -> Tensor:
        fields = self.study.space.fields(np.stack(vectors, axis=1))
        return encoded(self.codec, fields)[..., 0, :, :, :]


@dataclass(frozen=True)
class Seen:
    """What the network is given about the members of a part, in each year.

    base: latents `m y c h w` of the row's prediction; running: `m y c h w`, the running state less
    the base; known: `m y f`, the year and the parameters
    """

    base: Tensor
    running: Tensor
    known: Tensor

    @classmethod
    def of(cls, task: Task, part: str) -> Seen:
        """What is known of a part."""
        base = task.predicted(part)
        return cls(base, task.running(part) - base, task.known(part))

    def features(self, scale: Tensor) -> Tensor:
        """Features `m y (f + c h w)` for a `RunningDenoiser`; scale: `c 1 1`, of the residuals."""
        maps = rearrange(self.running / scale, "m y c h w -> m y (c h w)")
        return torch.cat([self.known, maps], dim=2)

    def residuals(self, annual: Sequence[Tensor], scale: Tensor | float) -> Residuals:
        """Of annual means, moments `t 2 c h w` by member, about the base of each year."""
        return Residuals(
            LatentCache(torch.cat([one for one in annual for _ in range(self.base.shape[1])])),
            rearrange(self.base, "m y c h w -> (m y) 1 c h w"),
            group=self.group(annual),
            course=np.ones((len(self.group(annual)), 1)),
            scale=scale,
        )

    def group(self, annual: Sequence[Tensor]) -> NDArray[np.int64]:
        """The number of member and year of each of the residuals, `n`."""
        members, years = self.base.shape[:2]
        return np.repeat(np.arange(members * years), np.repeat([len(one) for one in annual], years))


class RunningDenoiser(Denoiser):
    """Also sees the running state.

    Features `b (f + c h w)` are those of the conditions, f of them, and the running state's latents
    `c h w`; None, or 0, stand for an unknown state.
    """

    def maps(self, scaled: Tensor, features: Tensor | None) -> Tensor:
        """The static maps and the running state, `b m h w`."""
        static = super().maps(scaled, features)
        size = scaled[0].numel()
        running = torch.zeros_like(scaled) if features is None else features[:, -size:]
        return torch.cat([static, running.to(scaled).view_as(scaled)], dim=1)

    def labels(self, features: Tensor | None, count: int) -> dict[str, Tensor]:
        """As of a conditional network, without the running state."""
        assert self.embedding is not None
        known = None if features is None else features[:, : self.embedding.config.features]
        return super().labels(known, count)


class NetworkRow:
    """Predictions of a trained network.

    scale: `c 1 1`, unit of the residuals; chain, steps: that draw them
    """

    def __init__(
        self, task: Task, denoiser: Denoiser, scale: Tensor, *, chain: SchedulerMixin, steps: int
    ) -> None:
        self._task, self._denoiser, self._scale = task, denoiser, scale
        self._chain, self._steps = chain, steps
        self._found: dict[str, FloatArray] = {}

    def __call__(self, part: str, year: int) -> FloatArray:
        """Equilibria `m v` of the members of a part, see `PartialStudy.predicted`."""
        if part not in self._found:
            self._found[part] = self._corrections(part)
        study = self._task.study
        own = self._found[part][:, study.years.index(year)]
        return study.predicted(self._task.row, part, year) + study.space.vectors(own)

    @torch.no_grad()
    def _corrections(self, part: str) -> FloatArray:
        """What the network adds to the row's fields, `m y 2 z y x`."""
        codec, seen = self._task.codec, Seen.of(self._task, part)
        features = seen.features(self._scale)
        members, years = seen.base.shape[:2]
        shape = (members, years, 2, *codec.grid.shape)
        corrections = np.zeros(shape)
        for member in tqdm(range(members), desc=f"drawing, {part}", unit="member"):
            generators = [member_generator(self._task.seed, number) for number in range(DRAWN)]
            for year in range(years):
                base = seen.base[member, year]
                residual = draw(
                    self._denoiser,
                    self._chain,
                    features[member, year].expand(DRAWN, -1),
                    steps=self._steps,
                    generators=generators,
                    shape=base.shape,
                )
                mean = fields_of(codec.decode(base + self._scale * residual)).mean(axis=0)
                corrections[member, year] = mean - fields_of(codec.decode(base[None]))[0]
        return corrections


def network_rows(
    study: PartialStudy, run: Run, *, folder: Path, seeds: int
) -> dict[str, NetworkRow]:
    """Train the networks of `ROWS` in a folder, so many of each; resumes.

    run: an experiment on the same ensemble, with a trained codec. Raises `UserError` for one on
    another grid, without validation members, and for less than one seed.
    """
    if seeds < 1:
        raise UserError(f"the network cannot be trained {seeds} times: give --seeds 1 or more")
    if not study.courses.names(VALIDATION):
        raise UserError(
            "no validation member is finished, with which the training of the network is "
            "validated: simulate one, or leave --network out"
        )
    codec = run.codec()
    codec.check_grid(study.courses.grid)
    annual = _annual_latents(study, codec)
    rows = {}
    for seed in range(seeds):
        for name, (row, knows_parameters) in ROWS.items():
            task = Task(study, codec, row, knows_parameters, seed)
            label = name if seed == 0 else f"{name}, seed {seed}"
            own = folder / label.replace(",", "").replace(" ", "_")
            denoiser, scale = train(task, run.settings.diffusion, annual, folder=own)
            steps = run.settings.sampling.steps
            rows[label] = NetworkRow(task, denoiser, scale, chain=run.scheduler(), steps=steps)
    return rows


def train(
    task: Task, settings: DiffusionSettings, annual: Mapping[str, Sequence[Tensor]], *, folder: Path
) -> tuple[Denoiser, Tensor]:
    """The trained denoiser of residuals, and their unit `c 1 1`.

    annual: moments `t 2 c h w` of the annual means at equilibrium, by part and member
    """
    plan = settings.training.model_copy(update={"seed": task.seed})
    settings = settings.model_copy(update={"training": plan})
    seen = {part: Seen.of(task, part) for part in annual}
    scale = deviation(seen[TRAINING].residuals(annual[TRAINING], 1.0), task.codec.latent_weight)
    residuals = {part: one.residuals(annual[part], scale) for part, one in seen.items()}
    samples: dict[str, Samples] = {}
    for part, one in seen.items():
        features = rearrange(one.features(scale), "m y f -> (m y) f")[one.group(annual[part])]
        samples[part] = ConditionalSamples(residuals[part], features)
    group = np.zeros(len(residuals[TRAINING]), dtype=np.int64)
    gaussian = MemberGaussians.of(residuals[TRAINING], group, patterns=settings.patterns)
    denoiser = untrained(task, settings, gaussian)
    trainer = build_trainer(
        settings,
        task.codec,
        denoiser=denoiser,
        datasets=samples,
        accelerator=build_accelerator(folder),
        directory=folder,
    )
    trainer.run()
    trainer.adopt_averaged_weights()
    return denoiser.cpu().eval(), scale


def untrained(task: Task, settings: DiffusionSettings, gaussian: MemberGaussians) -> Denoiser:
    """The denoiser before training."""
    codec = task.codec
    unet = build_network(settings, codec, conditional=True, further_maps=codec.latent_shape[0])
    embedding = ConditionEmbedding.for_network(unet, features=task.known(TRAINING).shape[2])
    return RunningDenoiser(unet, gaussian, codec.static_maps, embedding)


def draw(
    denoiser: Denoiser,
    chain: SchedulerMixin,
    features: Tensor,
    *,
    steps: int,
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
) -> Tensor:
    """Residuals `b c h w`, one per generator, of `shape` `c h w`, given their features `b f`."""
    set_timesteps(chain, steps, device=features.device)
    begin_at(chain, 0)
    noise = torch.stack([torch.randn(*shape, generator=one) for one in generators])
    sample = noise * chain.init_noise_sigma
    for step, timestep in enumerate(chain.timesteps):
        level = noise_level(chain, step)
        v = denoiser(
            chain.scale_model_input(sample, timestep),
            timestep,
            signal=level.signal,
            noise=level.noise,
            features=features,
        )
        sample = chain.step(v, timestep, sample).prev_sample
    return sample


@torch.no_grad()
def encoded(codec: Codec, fields: NDArray[np.floating]) -> Tensor:
    """Moments `... 2 c h w` of the latents of T [degC] and S [g/kg] `... 2 z y x`."""
    leading = fields.shape[:-4]
    flat = torch.from_numpy(fields.reshape(-1, *fields.shape[-4:])).float()
    parts = [
        torch.stack(codec.encode_distribution(State(part[:, 0], part[:, 1])), dim=1)
        for part in flat.split(AT_ONCE)
    ]
    return torch.cat(parts).view(*leading, 2, *codec.latent_shape)


def fields_of(state: State) -> FloatArray:
    """T [degC] and S [g/kg] of states, `b 2 z y x`."""
    return torch.stack([state.temperature, state.salinity], dim=1).double().numpy()


def _annual_latents(study: PartialStudy, codec: Codec) -> dict[str, list[Tensor]]:
    """Moments `t 2 c h w` of annual means at equilibrium, by part and member."""
    settings, grid = study.courses.settings, study.courses.grid
    return {
        part: [
            encoded(codec, annual_means(read_member(finished_file(settings, name), grid)))
            for name in tqdm(study.courses.names(part), desc=f"encoding, {part}", unit="member")
        ]
        for part in (TRAINING, VALIDATION)
    }
