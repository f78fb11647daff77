"""The diffusers pipeline that samples ocean states in physical units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import xarray as xr
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DModel
from torch import Tensor

from autoencoder.codec import Codec
from autoencoder.periodic import make_periodic
from autoencoder.stored import LOCALLY, in_full_precision, loading
from data.conditions import Conditions
from data.errors import UserError
from data.shipped import model_to_read
from guidance.guide import Guide
from guidance.steps import Step
from latent_diffusion.card import Row, as_html, as_text, card
from latent_diffusion.convergence import check_chain
from latent_diffusion.denoiser import (
    ConditionEmbedding,
    Denoiser,
    NoiseLevel,
    clean_estimate,
    noise_level,
    velocity,
)
from latent_diffusion.drawn import Frame, StatePipelineOutput, dataset_of
from latent_diffusion.expectation import Expectation
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.inference import Inference
from latent_diffusion.model_folder import check_loaded, check_model
from latent_diffusion.origin import Origin, origin_of_model
from latent_diffusion.posterior import LatentPosterior
from latent_diffusion.request import Value, request, steps_of
from latent_diffusion.schedulers import begin_at, noise_source, set_timesteps, too_few, unit_at
from latent_diffusion.start import Start


class StatePipeline(DiffusionPipeline):
    """Samples ocean states. Load it with `StatePipeline.from_pretrained(folder)`.

    `pipeline(members=8, seed=0)` returns guided and adjusted states as an `xarray.Dataset`;
    `pipeline.draw` returns tensors.

    unet: adds to the v of standardised latents that `gaussian` predicts
    gaussian: normal distributions of the training latents
    scheduler: any diffusers scheduler with a variance-preserving schedule
    codec: decodes latents to states in physical units
    steps: default number of steps; for a distilled network, the number it was trained for
    expectation, embedding: mean of the latents at given conditions, and embedding of these for the
        network, which then generates residuals; None for a model without conditions
    """

    _optional_components: ClassVar[list[str]] = ["expectation", "embedding"]
    _tested: tuple[SchedulerMixin, int] | None = None  # the chain that was found to converge
    _origin: Origin | None = None
    _folder: Path | None = None

    def __init__(
        self,
        unet: UNet2DModel,
        gaussian: MemberGaussians,
        scheduler: SchedulerMixin,
        codec: Codec,
        steps: int = 25,
        expectation: Expectation | None = None,
        embedding: ConditionEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.register_to_config(steps=steps)
        if codec.config.ocean["periodic_x"]:
            make_periodic(unet)
        self.register_modules(
            unet=unet,
            gaussian=gaussian,
            scheduler=scheduler,
            codec=codec,
            expectation=expectation,
            embedding=embedding,
        )

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, torch_dtype: torch.dtype | None = None, **options: Any
    ) -> Any:
        """As in diffusers, but from a local folder or a shipped model only; nothing is unpickled.

        torch_dtype (or dtype): of the network; all else keeps single precision or better. Default:
            single precision, also if the folder holds rounded weights

        Raises `UserError` if a file is missing, damaged, does not match its checksum, names other
        classes, or holds sizes or numbers that make no sense.
        """
        precision = torch_dtype or options.pop("dtype", None)
        folder = model_to_read(Path(folder))
        check_model(folder)
        with loading(folder):
            pipeline = super().from_pretrained(str(folder), **LOCALLY, **options)
        in_full_precision(pipeline.components.values())
        check_loaded(pipeline, folder)
        pipeline._folder = folder.absolute()
        return pipeline if precision is None else pipeline.to(precision)

    @property
    def denoiser(self) -> Denoiser:
        """Predicts v of standardised latents."""
        return Denoiser(self.unet, self.gaussian, self.codec.static_maps, self.embedding)

    @property
    def steps(self) -> int:
        """The default number of steps."""
        return int(self.config.steps)

    @property
    def origin(self) -> Origin:
        """The model's name and its guidance, as its run or its folder states them.

        Raises `UserError` if the folder does not, or if the pipeline comes from no folder.
        """
        if self._origin is None:
            folder = self._folder or self.name_or_path
            if not folder:
                raise UserError(
                    "the pipeline was not loaded from a model's folder, which states how states "
                    "are guided: set pipeline.origin, or call pipeline.draw with a guide"
                )
            self._origin = origin_of_model(Path(folder))
        return self._origin

    @origin.setter
    def origin(self, origin: Origin) -> None:
        self._origin = origin

    @torch.no_grad()
    def __call__(
        self,
        *,
        members: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        steps: int | None = None,
        num_inference_steps: int | None = None,
        at: Mapping[str, Value] | None = None,
        certain: bool = False,
        extrapolate: bool = False,
        guided: bool | None = None,
        adjusted: bool | None = None,
        at_once: int = 16,
        **others: object,
    ) -> xr.Dataset:
        """Draw states, guided and adjusted as the model's configuration says; land is NaN.

        members: number of states; default: one, or as many as there are generators or values
        seed: states are those of `halocline sample` with this seed; default: a random one, which
            the dataset states
        generator: instead of a seed: one for each state, as for `draw`, or one from which these
            are seeded
        steps, num_inference_steps: number of steps; default: the model's
        at, certain, extrapolate: conditions by name, a number or one for each state; whether they
            have the expected mean; whether they may lie outside the range of the training members
        guided, adjusted: whether to guide, and to remove what static instability is left; default:
            as configured
        at_once: number of states that are drawn together

        Returns fields over member, depth and the horizontal axes, see `data.dataset`. Raises
        `UserError` for what contradicts itself or does not fit the model, and for states that are
        no sea water.
        """
        steps = steps_of(steps, num_inference_steps, others) or self.steps
        wanted = request(
            members=members,
            seed=seed,
            generator=generator,
            at=at or {},
            expectation=self.expectation,
            certain=certain,
            extrapolate=extrapolate,
        )
        settings = self.origin.guidance
        guided = settings.enabled if guided is None else guided
        adjusted = settings.adjust if adjusted is None else adjusted
        guide = self.origin.guide(self.codec) if guided else None
        drawn = [
            self.draw(generators=part.generators, steps=steps, guide=guide, conditions=part.given)
            for part in wanted.parts(at_once)
        ]
        chain = {
            "sampler": type(self.scheduler).__name__,
            "steps": steps,
            "precision": str(self.unet.dtype).removeprefix("torch."),
        }
        attributes = self.origin.attributes(guided=guided, adjusted=adjusted) | wanted.seeds
        return dataset_of(drawn, self.codec, adjusted=adjusted, attributes=attributes | chain)

    def __repr__(self) -> str:
        return as_text(self._card())

    def _repr_html_(self) -> str:
        return as_html(self._card())

    def _card(self) -> list[Row]:
        """What the pipeline draws, and how, for people."""
        sampler = f"{type(self.scheduler).__name__}, {self.steps} steps"
        return card(
            self.codec,
            space=None if self.expectation is None else self.expectation.space,
            origin=lambda: self.origin,
            sampler=sampler,
            precision=f"{self.unet.dtype}, on {self.device}".removeprefix("torch."),
        )

    @torch.no_grad()
    def draw(
        self,
        *,
        generators: Sequence[torch.Generator],
        steps: int | None = None,
        guide: Guide | None = None,
        conditions: Conditions | None = None,
        posterior: LatentPosterior | None = None,
        start: Start | None = None,
    ) -> StatePipelineOutput:
        """Draw one state per CPU generator; it does not depend on the rest of the batch.

        steps: number of steps; default: the model's
        guide: corrects clean estimates or noisy samples; None samples without guidance
        conditions: of each state; default: those of a random training member at equilibrium, in a
            random season
        posterior: what was observed of the ocean; it corrects estimates before the guide does
        start: noisy latents of other states, from which chains begin; default: noise alone

        Raises `UserError` if the scheduler does not support this number of steps, or for conditions
        of a model without.
        """
        steps = self.steps if steps is None else steps
        self.set_steps(steps)
        frame = self.frame(conditions, generators, posterior=posterior)
        first, sample = 0, self.initial_noise(generators)
        if start is None:
            sample = sample * self.scheduler.init_noise_sigma
        else:
            first = start.step(self.scheduler)
            sample = start.sample(self.scheduler, sample, step=first, frame=frame)
        guide = (guide or Guide()).for_a_chain()
        for index in self.progress_bar(range(first, len(self.scheduler.timesteps))):
            sample = self.advance(
                sample, index, generators=generators, guide=guide, frame=frame, posterior=posterior
            )
        if not sample.isfinite().all():
            raise too_few(self.scheduler, steps)
        latents = frame.latents(sample) if frame else sample
        return StatePipelineOutput(
            state=self.codec.decode(latents),
            latents=latents,
            conditions=frame.conditions if frame else None,
        )

    def frame(
        self,
        conditions: Conditions | None,
        generators: Sequence[torch.Generator],
        *,
        posterior: LatentPosterior | None = None,
    ) -> Frame | None:
        """Where the residuals of a conditional model belong; None for a model without conditions.

        See `draw` for the arguments.
        """
        if self.expectation is None:
            if conditions is not None:
                raise UserError("the model has no conditions: draw its states without --at")
            return None
        if conditions is None:
            conditions = self.expectation.unknown(generators)
        if len(conditions) != len(generators):
            raise UserError(
                f"there are conditions for {len(conditions)} states and {len(generators)} "
                "generators: give one generator for each state"
            )
        self.expectation.space.check(conditions, extrapolate=True)
        if posterior is not None:
            inference = Inference(posterior, self.expectation, tapers=posterior.tapers)
            return inference.frame(conditions, generators)
        mean = self.expectation.draw(conditions, generators)
        features = self.expectation.features(conditions)
        return Frame(mean, self.expectation.scale, features, conditions)

    @torch.no_grad()
    def advance(
        self,
        sample: Tensor,
        index: int,
        *,
        generators: Sequence[torch.Generator],
        guide: Guide | None = None,
        frame: Frame | None = None,
        posterior: LatentPosterior | None = None,
    ) -> Tensor:
        """The sample `b c h w` after step `index` of the chain; `set_steps` comes first."""
        at, guide = self.place(index), guide or Guide()
        timestep = self.scheduler.timesteps[index]
        scaled = self.scheduler.scale_model_input(sample, timestep)
        signal, noise = noise_level(self.scheduler, index)
        features = frame.features if frame else None

        def denoise(x: Tensor) -> Tensor:
            return self.denoiser(x, timestep, signal=signal, noise=noise, features=features)

        v, level = denoise(scaled), NoiseLevel(signal, noise)
        if posterior is not None:
            v = posterior.velocity(v, scaled, level=level, frame=frame, denoise=denoise)
        v = self._guided_velocity(v, scaled, guide=guide, at=at, frame=frame)
        sample = self.scheduler.step(
            v, timestep, sample, **noise_source(self.scheduler, generators)
        ).prev_sample
        return self._guided_sample(sample, guide=guide, at=at, frame=frame)

    def _guided_velocity(
        self, v: Tensor, scaled: Tensor, *, guide: Guide, at: Step, frame: Frame | None
    ) -> Tensor:
        """The v of the corrected estimate; the network's own without a correction."""
        level = noise_level(self.scheduler, at.number)
        clean = clean_estimate(v, scaled, level)
        latents = frame.latents(clean) if frame else clean
        corrected = guide.correct_estimate(latents, self.codec, at=at)
        if corrected is latents:
            return v
        return velocity(frame.residual(corrected) if frame else corrected, scaled, level)

    def _guided_sample(
        self, sample: Tensor, *, guide: Guide, at: Step, frame: Frame | None
    ) -> Tensor:
        """The corrected sample; the scheduler's own without a correction."""
        unit, signal = unit_at(self.scheduler, at.number + 1), (1 - at.after**2) ** 0.5
        standard = sample * unit
        latents = frame.latents(standard, signal=signal) if frame else standard
        corrected = guide.correct_sample(latents, self.codec, at=at)
        if corrected is latents:
            return sample
        return (frame.residual(corrected, signal=signal) if frame else corrected) / unit

    def place(self, index: int) -> Step:
        """The position of step `index` in the current chain."""
        count = len(self.scheduler.timesteps)
        before = noise_level(self.scheduler, index).noise
        after = noise_level(self.scheduler, index + 1).noise if index + 1 < count else 0.0
        return Step(index, count, before, after)

    def set_steps(self, steps: int) -> None:
        """Begin a chain of `steps` steps.

        Raises `UserError` if the scheduler cannot, or if the chain does not converge.
        """
        set_timesteps(self.scheduler, steps, device=self.device)
        self._check_chain(steps)
        begin_at(self.scheduler, 0)

    def _check_chain(self, steps: int) -> None:
        """Test the chain on normal distributions, once for each scheduler and number of steps."""
        if self._tested == (self.scheduler, steps):
            return
        largest = max([1.0, *self.gaussian.variances.tolist()])
        check_chain(self.scheduler, steps=steps, largest_variance=largest)
        self._tested = (self.scheduler, steps)

    def initial_noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """White noise `b c h w` of variance 1, one sample per CPU generator."""
        shape = (1, *self.codec.latent_shape)
        return torch.cat([torch.randn(shape, generator=g) for g in generators]).to(self.device)
