"""Configurations: what is shipped loads, and each mistake gets one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from configs import load_experiment, parse_command_line
from data.errors import UserError

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path):
    assert load_experiment(path).name == path.stem


def test_there_are_shipped_configurations():
    assert "quickstart" in {path.stem for path in SHIPPED}


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


def test_stages_take_the_configuration_and_overrides_from_the_command_line(tiny_config):
    experiment = parse_command_line("a stage", [str(tiny_config), "--sampling.seed", "3"])
    assert experiment.sampling.seed == 3


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
