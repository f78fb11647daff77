"""Configurations: what is shipped loads, and each mistake gets one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from configs import load_experiment
from data.errors import UserError
from studies.cost.systems import variants_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
IN_FEW_STEPS = [
    path for path in sorted((CONFIGS / "few_steps").glob("*.yaml")) if "teacher" not in path.stem
]
WITH_PATCHES_OF_8 = sorted((CONFIGS / "patches_of_8").glob("*.yaml"))
IN_DATA_SPACE = sorted((CONFIGS / "data_space").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path):
    base = yaml.safe_load(path.read_text()).get("base", "")
    # What goes on with a base's trained model goes by its name.
    assert load_experiment(path).name in (path.stem, Path(base).stem)


def test_there_are_shipped_configurations():
    for shipped in (SHIPPED, IN_DATA_SPACE):
        assert "quickstart" in {path.stem for path in shipped}


@pytest.mark.parametrize("path", IN_DATA_SPACE, ids=lambda path: path.stem)
def test_a_data_space_model_differs_from_the_latent_one_in_its_networks_only(path):
    latent, data_space = load_experiment(CONFIGS / path.name), load_experiment(path)
    assert data_space.name == f"{path.stem}_data_space"
    assert data_space.autoencoder.kind == "identity"
    assert data_space.run_directory != latent.run_directory
    for section in ("data", "sampling", "guidance", "evaluation"):
        assert getattr(data_space, section) == getattr(latent, section)


@pytest.mark.parametrize("path", IN_FEW_STEPS, ids=lambda path: path.stem)
def test_a_model_of_few_steps_differs_in_its_chains_only(path):
    many = load_experiment(CONFIGS / f"{path.stem.removesuffix('_solver')}.yaml")
    few = load_experiment(path)
    assert few.sampling.steps < many.sampling.steps / 4
    for section in ("data", "autoencoder", "diffusion"):
        assert getattr(few, section) == getattr(many, section)
    assert few.guidance.model_copy(update={"terms": many.guidance.terms}) == many.guidance
    if few.distillation:
        assert few.distillation.teacher == many.run_directory


def test_what_the_benchmark_says_of_patches_of_8_is_said_of_the_configuration():
    timed = variants_of(load_experiment(CONFIGS / "dino_quarter.yaml"))["latent, patches of 8"]
    own = load_experiment(CONFIGS / "patches_of_8" / "dino_quarter.yaml")
    for section in ("autoencoder", "diffusion", "sampling", "guidance"):
        assert getattr(timed, section) == getattr(own, section)


def test_the_teacher_of_few_steps_is_sampled_as_the_distillation_does():
    student = load_experiment(CONFIGS / "few_steps" / "quickstart.yaml")
    teacher = load_experiment(CONFIGS / "few_steps" / "quickstart_teacher.yaml")
    assert teacher.sampling.steps == student.distillation.teacher_steps
    assert teacher.run_directory == student.distillation.teacher
    for option in ("use_lu_lambdas", "timestep_spacing"):
        options = (each.sampling.scheduler_options[option] for each in (student, teacher))
        assert len(set(options)) == 1


@pytest.mark.parametrize("path", WITH_PATCHES_OF_8, ids=lambda path: path.stem)
def test_a_model_with_patches_of_8_is_trained_and_sampled_as_its_base(path):
    base, coarse = load_experiment(CONFIGS / path.name), load_experiment(path)
    assert coarse.autoencoder.patch == 8 == 2 * base.autoencoder.patch
    for stage in ("autoencoder", "diffusion"):
        assert getattr(coarse, stage).training == getattr(base, stage).training
    for section in ("data", "sampling", "evaluation"):
        assert getattr(coarse, section) == getattr(base, section)


def test_a_base_is_read_from_beside_the_file_that_names_it(tiny_config, tmp_path):
    below, above = tmp_path / "below", tmp_path / "above.yaml"
    below.mkdir()
    content = yaml.safe_load(tiny_config.read_text()) | {"title": "base"}
    (below / "base.yaml").write_text(yaml.safe_dump(content))
    (below / "middle.yaml").write_text("base: base.yaml\nsampling: {members: 3, seed: 4}\n")
    above.write_text("base: below/middle.yaml\nsampling: {members: 5}\n")
    experiment = load_experiment(above, ["--sampling.steps", "6"])
    sampling = experiment.sampling
    assert (sampling.members, sampling.seed, sampling.steps) == (5, 4, 6)
    assert experiment.title == "base"


def test_a_section_may_have_a_base_of_its_own(tiny_config, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "drawn.yaml").write_text("members: 7\nseed: 11\n")
    content = yaml.safe_load(tiny_config.read_text())
    content["sampling"] = {"base": "shared/drawn.yaml", "seed": 12}
    tiny_config.write_text(yaml.safe_dump(content))
    sampling = load_experiment(tiny_config).sampling
    assert (sampling.members, sampling.seed) == (7, 12)


def test_a_base_that_leads_back_is_named(tmp_path):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}.yaml\n")
    with pytest.raises(UserError, match=r"a\.yaml is a base of itself"):
        load_experiment(tmp_path / "a.yaml")


def test_a_base_that_is_no_path_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("base: [b.yaml]\n")
    with pytest.raises(UserError, match="expected the path of another YAML"):
        load_experiment(tmp_path / "a.yaml")


@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
def test_overrides_apply_with_their_types(tiny_config, form):
    given = {
        "--sampling.members": "7",
        "--diffusion.training.learning_rate": "2e-4",
        "--guidance.enabled": "false",
        "--autoencoder.channels": "[16,24]",
        "--sampling.scheduler_options.lambda_min_clipped": "-5.1",
        "--data.archive": "else/where.zarr",
    }
    words = [word for pair in given.items() for word in form.format(*pair).split(" ")]
    experiment = load_experiment(tiny_config, words)
    assert experiment.sampling.members == 7
    assert experiment.diffusion.training.learning_rate == 2e-4
    assert experiment.guidance.enabled is False
    assert experiment.autoencoder.channels == (16, 24)
    assert experiment.sampling.scheduler_options == {"lambda_min_clipped": -5.1}
    assert experiment.data.archive == Path("else/where.zarr")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--sampling.membrs", "7"], "sampling.membrs"),
        (["--nonsense", "7"], "nonsense"),
        (["--sampling.members", "many"], "sampling.members"),
        (["--sampling.members", "0"], "sampling.members"),
        (["--sampling.members"], "--sampling.members has no value"),
        (["--sampling.members", "7", "9"], "'9'|has no value"),
        (["7", "--sampling.members"], "'7'"),
        (["--name.first", "x"], "name is a value"),
        (["--diffusion.channels", "[8,"], "--diffusion.channels"),
        (["--diffusion.channels", "[10]"], "diffusion.channels.0"),
        (["--diffusion.channels", "[]"], "diffusion.channels"),
        (["--diffusion.attention", "true"], "heads of 32"),
        (["--autoencoder.kind", "gan"], "autoencoder.kind"),
    ],
)
def test_a_wrong_override_is_named_in_one_line(tiny_config, words, named):
    with pytest.raises(UserError, match=named) as caught:
        load_experiment(tiny_config, words)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_setting_is_named(tiny_config):
    content = yaml.safe_load(tiny_config.read_text())
    del content["diffusion"]["training"]["samples"]
    tiny_config.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"'diffusion\.training\.samples' is missing"):
        load_experiment(tiny_config)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no configuration .*absent\.yaml"):
        load_experiment(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", [b"name: [unclosed", b"\xff\xfe\x00", b"just words", b""])
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.yaml"):
        load_experiment(path)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("roundin", "true", "data.ingest.roundin: no such key; did you mean data.ingest.rounding?"),
        ("depth_positive", "sideways", "data.ingest.depth_positive: expected 'down' or"),
        ("reader", "roms", "data.ingest: there is no reader roms; the readers are cf, mitgcm, "),
        ("reader", "[nemo]", "data.ingest: there is no reader"),
    ],
)
def test_mistakes_in_how_to_ingest_are_reported_with_their_keys(key, value, sentence):
    with pytest.raises(UserError) as caught:
        load_experiment(CONFIGS / "global4deg.yaml", [f"--data.ingest.{key}", value])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_has_one_source():
    ensemble = yaml.safe_load((CONFIGS / "ensemble.yaml").read_text())["data"]["ensemble"]
    with pytest.raises(UserError, match="data: an archive has one source, but ensemble and ingest"):
        load_experiment(CONFIGS / "global4deg.yaml", ["--data.ensemble", str(ensemble)])


def test_a_key_like_no_other_refers_to_the_schema_and_names_where_it_was_given(tmp_path):
    advice = "colour: no such key; `halocline schema` prints all settings"
    own = tmp_path / "own.yaml"
    own.write_text((CONFIGS / "quickstart.yaml").read_text())
    with pytest.raises(UserError, match=f"^command line: {advice}$"):
        load_experiment(own, ["--colour", "3"])
    own.write_text(own.read_text() + "colour: 3\n")
    with pytest.raises(UserError, match=f"^{own}: {advice}$"):
        load_experiment(own)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("members", "sampling.members"),
        ("membrs", "sampling.members"),
        ("steps", "sampling.steps or assimilation.steps"),
    ],
)
def test_a_name_without_its_section_suggests_the_whole_key(name, meant):
    with pytest.raises(UserError, match=f"^command line: {name}: .*; did you mean {meant}\\?$"):
        load_experiment(CONFIGS / "quickstart.yaml", [f"--{name}", "3"])


def test_a_mistake_of_the_file_is_not_blamed_on_the_command_line(tiny_config):
    """Also where the command line gives another setting of the section."""
    written = yaml.safe_load(tiny_config.read_text())
    written["guidance"] = {"enabled": "perhaps"}
    tiny_config.write_text(yaml.safe_dump(written))
    with pytest.raises(UserError, match=f"^{tiny_config}: guidance.enabled: expected true or"):
        load_experiment(tiny_config, ["--guidance.step_cap", "0.5"])


def test_a_list_of_texts_is_expected_with_an_example_of_texts():
    with pytest.raises(UserError, match=r"expected a list such as \[first, second\], found 'a'"):
        load_experiment(CONFIGS / "global4deg.yaml", ["--data.ingest.files", "a"])


@pytest.mark.parametrize(
    ("given", "found", "meant"),
    [
        ("diffusion.training.sampels", "", "diffusion.training.samples"),
        ("diffusion.trainig.samples", "diffusion.trainig", "diffusion.training"),
        ("sampling.scheduler_option.a", "sampling.scheduler_option", "sampling.scheduler_options"),
        ("diffusion.members", "", "sampling.members"),
        ("autoencoder.samples", "", "autoencoder.training.samples"),
        ("diffusion.step_cap", "", "guidance.step_cap"),
        ("guidance.inner_step", "", "guidance.inner_steps"),
        ("data.ensemble.ranges.warming.hihg", "", "data.ensemble.ranges.warming.high"),
        ("data.ingest.mesh_msk", "", "data.ingest.mesh_mask"),
        ("data.ingest.split.gap_year", "", "data.ingest.split.gap_years"),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_what_it_may_mean(given, found, meant):
    config = CONFIGS / ("nemo_dino.yaml" if "ingest" in given else "ensemble.yaml")
    with pytest.raises(UserError) as caught:
        load_experiment(config, [f"--{given}", "3"])
    assert str(caught.value).startswith(f"command line: {found or given}: no such key")
    assert str(caught.value).endswith(f"; did you mean {meant}?")


def test_an_unknown_key_in_a_list_is_named_with_its_number(tiny_config):
    terms = "[unstable_pairs, {nearest_stable_state: {tolerence: 1}}]"
    with pytest.raises(
        UserError, match=r"terms\.1\.tolerence: no .* guidance\.terms\.1\.tolerance\?"
    ):
        load_experiment(tiny_config, ["--guidance.terms", terms])
