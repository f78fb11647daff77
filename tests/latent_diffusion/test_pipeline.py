"""Sampling: the same physics under every scheduler, and the same member in every batch."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from data.checksums import CHECKSUMS
from data.errors import UserError
from guidance.energy import energy_of
from guidance.guide import EstimateGuide, Guide
from guidance.settings import GuidanceSettings
from guidance.term_settings import MeanProfileSettings
from latent_diffusion.denoiser import build_unet
from latent_diffusion.gaussian import MemberGaussians
from latent_diffusion.noise import member_generator
from latent_diffusion.origin import origin_of_model
from latent_diffusion.pipeline import StatePipeline
from latent_diffusion.schedulers import build_schedule, build_scheduler

# Scheduler, options, accepted error at the end. DEIS and PNDM never quite reach noise level 0.
SCHEDULERS = [
    ("DDPMScheduler", {}, 1e-5),
    ("DDIMScheduler", {}, 1e-5),
    ("DDIMScheduler", {"timestep_spacing": "trailing"}, 1e-5),
    ("DPMSolverMultistepScheduler", {}, 1e-5),
    ("DPMSolverMultistepScheduler", {"lambda_min_clipped": -5.1}, 1e-5),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, 1e-5),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, 1e-5),
    ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, 1e-5),
    ("DPMSolverSinglestepScheduler", {}, 1e-5),
    ("UniPCMultistepScheduler", {}, 1e-5),
    ("EulerDiscreteScheduler", {}, 1e-5),
    ("EulerAncestralDiscreteScheduler", {}, 1e-5),
    ("HeunDiscreteScheduler", {}, 1e-5),
    ("LMSDiscreteScheduler", {}, 1e-5),
    ("DEISMultistepScheduler", {}, 0.05),
    ("PNDMScheduler", {}, 0.1),
]
every_scheduler = pytest.mark.parametrize(
    ("name", "options", "tolerance"), SCHEDULERS, ids=lambda value: str(value)
)


class Oracle(ModelMixin, ConfigMixin):
    """A network with the exact clean latent, whose noise level depends only on the timestep."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.clean = torch.nn.Parameter(torch.zeros(1))
        self.sigmas = np.zeros(1)

    def know(self, clean: torch.Tensor, alphas_cumprod: torch.Tensor) -> None:
        self.clean.data = clean
        alphas = alphas_cumprod.double().numpy()
        self.sigmas = np.sqrt((1 - alphas) / alphas)

    def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> SimpleNamespace:
        sigma = np.interp(float(timestep), np.arange(len(self.sigmas)), self.sigmas)
        signal = 1 / np.sqrt(1 + sigma**2)
        scaled = x[:, : self.clean.shape[1]].double()
        return SimpleNamespace(sample=((signal * scaled - self.clean) / (signal * sigma)).float())


class Watch(Guide):
    """Records the estimates, and replaces them by `target` if it has one."""

    def __init__(self, target: torch.Tensor | None = None) -> None:
        self.target, self.seen, self.progress = target, [], []

    def correct_estimate(self, estimate, decoder, *, at):
        self.seen.append(estimate)
        self.progress.append(at.progress)
        return estimate if self.target is None else self.target.expand_as(estimate).clone()


@pytest.fixture
def clean(trained) -> torch.Tensor:
    """The latent of a true state."""
    with torch.no_grad():
        return trained.codec().encode(trained.archive.read([3]))


@pytest.fixture
def make_pipeline(trained, clean, monkeypatch):
    """The trained pipeline with another scheduler, optionally with the oracle as network."""

    def make(name: str, options: dict, *, oracle: bool) -> StatePipeline:
        pipeline = trained.pipeline()
        schedule = build_schedule(trained.settings.diffusion.train_timesteps)
        # Chains to one point, as here, need fewer steps than chains to a distribution.
        monkeypatch.setattr("latent_diffusion.pipeline.check_chain", lambda *_, **__: None)
        if oracle:
            pipeline.unet = Oracle()
            pipeline.gaussian = MemberGaussians(pipeline.codec.latent_shape)
            pipeline.unet.know(clean, schedule.alphas_cumprod)
        pipeline.scheduler = build_scheduler(name, options, schedule=schedule)
        return pipeline

    return make


def _generators(count: int) -> list[torch.Generator]:
    return [member_generator(0, member) for member in range(count)]


@every_scheduler
def test_a_perfect_denoiser_ends_at_its_state(make_pipeline, clean, name, options, tolerance):
    pipeline = make_pipeline(name, options, oracle=True)
    output = pipeline.draw(generators=_generators(2), steps=8)
    torch.testing.assert_close(output.latents, clean.expand(2, -1, -1, -1), atol=tolerance, rtol=0)
    expected = pipeline.codec.decode(output.latents)
    assert torch.equal(output.state.temperature, expected.temperature)


@every_scheduler
def test_the_guide_sees_the_clean_estimate(make_pipeline, clean, name, options, tolerance):
    watch = Watch()
    pipeline = make_pipeline(name, options, oracle=True)
    pipeline.draw(generators=_generators(1), steps=8, guide=watch)
    # Schedulers that interpolate noise levels round the timestep passed to the network.
    errors = [float((seen - clean).abs().max()) for seen in watch.seen]
    assert max(errors) < 0.02
    assert watch.progress == sorted(watch.progress)
    assert 0 <= watch.progress[0] < 0.3
    assert watch.progress[-1] == 1.0


@every_scheduler
def test_guidance_leads_where_the_guide_says(make_pipeline, clean, name, options, tolerance):
    pipeline = make_pipeline(name, options, oracle=False)
    output = pipeline.draw(generators=_generators(1), steps=8, guide=Watch(target=clean))
    torch.testing.assert_close(output.latents, clean, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_a_guide_that_changes_nothing_changes_nothing(make_pipeline, name):
    pipeline = make_pipeline(name, {}, oracle=False)
    unguided = pipeline.draw(generators=_generators(2), steps=6)
    for idle in (Guide(), Watch()):
        latents = pipeline.draw(generators=_generators(2), steps=6, guide=idle).latents
        assert torch.equal(latents, unguided.latents)


class WatchNoisy(Guide):
    """Records the noisy samples without changing them."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def correct_sample(self, sample, decoder, *, at):
        self.seen.append(sample)
        return sample.clone()


@every_scheduler
def test_noisy_samples_are_guided_at_variance_1(make_pipeline, clean, name, options, tolerance):
    pipeline = make_pipeline(name, options, oracle=True)
    watch = WatchNoisy()
    guided = pipeline.draw(generators=_generators(4), steps=8, guide=watch).latents
    first, last = watch.seen[0], watch.seen[-1]
    assert 0.8 < first.std() < 1.2
    torch.testing.assert_close(last, clean.expand_as(last), atol=tolerance, rtol=0)
    unguided = pipeline.draw(generators=_generators(4), steps=8).latents
    torch.testing.assert_close(guided, unguided, atol=1e-5, rtol=1e-4)


def test_gradients_leave_less_to_adjust(trained, make_pipeline):
    pipeline = make_pipeline("DPMSolverMultistepScheduler", {}, oracle=False)
    settings = GuidanceSettings(terms=["nearest_stable_state"], start=0.0, step_cap=1.0)
    guide = trained.with_settings(guidance=settings).guide(pipeline.codec)
    guided, unguided = (
        pipeline.draw(generators=_generators(4), steps=6, guide=each).latents
        for each in (guide, None)
    )
    before, after = (energy_of(guide.terms, z, pipeline.codec).mean() for z in (unguided, guided))
    assert after < 0.9 * before


def test_in_data_space_the_last_estimate_lands_on_a_stable_state(tiny_run):
    words = ("--autoencoder.kind", "identity", "--guidance.step_cap", "100")
    run = tiny_run(*words, "--guidance.terms", "[nearest_stable_state]")
    codec = run.untrained_codec(run.archive)
    unet = build_unet(
        codec.latent_shape, static_maps=5, channels=(8,), blocks=1, attention=False, dropout=0.0
    )
    pipeline = run.pipeline_around(unet.eval(), codec)
    pipeline.set_progress_bar_config(disable=True)
    guide = run.guide(codec)
    latents = pipeline.draw(generators=_generators(2), steps=4, guide=guide).latents
    left = energy_of(guide.terms, latents, codec)
    unguided = pipeline.draw(generators=_generators(2), steps=4).latents
    assert (left < 1e-6 * energy_of(guide.terms, unguided, codec)).all()


@pytest.mark.parametrize("timesteps", [1000, 4000])
def test_the_hinge_acts_in_the_last_step_alone(tiny_run, trained, timesteps):
    """For any number of noise levels in training."""
    run = tiny_run(
        *("--diffusion.train_timesteps", str(timesteps), "--sampling.steps", "30"),
        *("--sampling.scheduler_options", "{use_lu_lambdas: true}"),
    )
    saved = trained.pipeline()
    pipeline = run.pipeline_around(saved.unet, saved.codec)
    pipeline.set_steps(30)
    guide = trained.with_settings(guidance=GuidanceSettings()).guide(saved.codec)
    nearest, hinge = guide.terms
    found = [guide.terms_at(pipeline.place(index)) for index in range(30)]
    assert found[-2:] == [[nearest], [hinge]]
    assert sum(hinge in terms for terms in found) == 1


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(
    "name",
    ["DPMSolverMultistepScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler"],
)
def test_a_member_does_not_depend_on_its_batch(trained, make_pipeline, name, guided):
    pipeline = make_pipeline(name, {}, oracle=False)
    # A smooth term: rounding decides whether a nearly neutral column is mixed.
    smooth = trained.settings.guidance.model_copy(update={"terms": (MeanProfileSettings(),)})
    guide = trained.with_settings(guidance=smooth).guide(pipeline.codec) if guided else None
    states = []
    for size in (1, 2, 3):
        parts = [_generators(6)[start : start + size] for start in range(0, 6, size)]
        latents = [pipeline.draw(generators=part, steps=5, guide=guide).latents for part in parts]
        states.append(torch.cat(latents))
    assert (states[0][0] - states[0][1]).abs().max() > 0.1, "members differ from one another"
    # Batched products round differently; guidance and large ancestral steps amplify that.
    tolerance = 1e-3 if guided or "Ancestral" in name else 1e-5
    for other in states[1:]:
        torch.testing.assert_close(other, states[0], atol=tolerance, rtol=1e-5)


def test_a_released_model_is_guided_as_its_configuration_says(trained):
    """From its folder alone, without an archive."""
    folder = trained.model_folder
    codec = StatePipeline.from_pretrained(folder).codec
    alone = origin_of_model(folder).guide(codec)
    there = trained.guide(codec)
    assert isinstance(alone, EstimateGuide)
    assert alone.steering == there.steering
    assert [term.window for term in alone.terms] == [term.window for term in there.terms]
    latents = torch.randn(1, *codec.latent_shape, generator=_generators(1)[0])
    for mine, theirs in zip(alone.terms, there.terms, strict=True):
        torch.testing.assert_close(
            energy_of([mine], latents, codec), energy_of([theirs], latents, codec)
        )


def test_a_released_model_is_guided_whatever_its_other_sections_are(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained.model_folder, folder, ignore=shutil.ignore_patterns(CHECKSUMS))
    codec = StatePipeline.from_pretrained(folder).codec
    path = folder / "experiment.yaml"
    released = yaml.safe_load(path.read_text()) | {"former_section": {"option": 1}}
    path.write_text(yaml.safe_dump(released))
    assert origin_of_model(folder).guide(codec).steering == trained.guide(codec).steering
    released["guidance"]["stepcap"] = 1
    path.write_text(yaml.safe_dump(released))
    with pytest.raises(
        UserError, match=r"experiment\.yaml, guidance: stepcap: no such key; .* step_cap"
    ):
        origin_of_model(folder).guide(codec)


def test_a_model_without_its_climatology_says_so(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained.model_folder, folder, ignore=shutil.ignore_patterns(CHECKSUMS))
    (folder / "climatology.json").unlink()
    with pytest.raises(UserError, match=r"has no climatology\.json, which its guide needs"):
        origin_of_model(folder).guide(StatePipeline.from_pretrained(folder).codec)


def test_guidance_works_in_inference_mode(trained, make_pipeline):
    pipeline = make_pipeline("DDIMScheduler", {}, oracle=False)
    settings = GuidanceSettings(start=0.0)
    guide = trained.with_settings(guidance=settings).guide(pipeline.codec)
    expected = pipeline.draw(generators=_generators(1), steps=3, guide=guide).latents
    with torch.inference_mode():
        latents = pipeline.draw(generators=_generators(1), steps=3, guide=guide).latents
    torch.testing.assert_close(latents, expected)


def test_a_saved_pipeline_samples_the_same_states(make_pipeline, tmp_path):
    pipeline = make_pipeline("DPMSolverMultistepScheduler", {"solver_order": 3}, oracle=False)
    pipeline.save_pretrained(tmp_path / "model")
    loaded = StatePipeline.from_pretrained(tmp_path / "model")
    loaded.set_progress_bar_config(disable=True)
    assert loaded.scheduler.config.solver_order == 3
    mine = pipeline.draw(generators=_generators(2), steps=4)
    theirs = loaded.draw(generators=_generators(2), steps=4)
    assert torch.equal(mine.latents, theirs.latents)
    assert torch.equal(mine.state.to_channels(), theirs.state.to_channels())


def test_sampled_states_are_in_physical_units_with_land_0(trained, make_pipeline):
    pipeline = make_pipeline("DDIMScheduler", {}, oracle=True)
    state = pipeline.draw(generators=_generators(1), steps=2).state
    truth = trained.archive.read([3])
    wet = pipeline.codec.statistics.wet
    assert (state.to_channels()[:, ~wet] == 0).all()
    assert (state.temperature - truth.temperature).abs().max() < 10


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("NoSuchScheduler", {}, "'NoSuchScheduler' cannot sample"),
        ("UNet2DModel", {}, "'UNet2DModel' cannot sample"),
        ("FlowMatchEulerDiscreteScheduler", {}, "use one of .*DDIMScheduler"),
        ("EDMEulerScheduler", {}, "use one of"),
        ("DDIMScheduler", {"solver_order": 2}, "has no option 'solver_order'"),
        ("DDIMScheduler", {"prediction_type": "epsilon"}, "has no option 'prediction_type'"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "x"}, "does not work with the options"),
    ],
)
def test_a_scheduler_that_does_not_fit_is_refused(trained, name, options, named):
    with pytest.raises(UserError, match=named):
        build_scheduler(
            name, options, schedule=build_schedule(trained.settings.diffusion.train_timesteps)
        )


@pytest.mark.parametrize(
    "name", ["EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"]
)
def test_a_scheduler_that_comes_to_nothing_in_so_few_steps_says_so(make_pipeline, name):
    pipeline = make_pipeline(name, {}, oracle=False)
    with pytest.raises(UserError, match=f"{name} does not yield finite samples with 4 steps"):
        pipeline.draw(generators=_generators(1), steps=4)
