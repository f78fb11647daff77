"""Shipped files are found by their names outside a checkout; files of the user come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs import load_experiment
from configs.found import run_or_model
from configs.loading import read_experiment
from configs.run import Run
from configs.shipped import FOLDER, base_file, config_file, shipped_configs
from data import shipped
from data.basin.ensemble import work_left
from data.errors import UserError
from data.shipped import to_read
from studies.guidance.settings import load_guidance_study
from studies.terms.settings import load_terms_study

ARCHIVE = Path("data/archives/ensemble.zarr.zip")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["quickstart", "quickstart.yaml", "configs/quickstart", "configs/quickstart.yaml"]
)
def test_a_shipped_configuration_is_found_by_its_name(name):
    assert config_file(Path(name)) == FOLDER / "quickstart.yaml"
    assert load_experiment(Path(name)).name == "quickstart"


def test_names_of_folders_are_part_of_the_name():
    assert load_experiment(Path("data_space/quickstart")).name == "quickstart_data_space"
    assert load_terms_study(Path("studies/terms_quickstart")).base.name.startswith("quickstart")
    assert load_guidance_study(Path("studies/guidance_few_steps")).points


@pytest.mark.parametrize("name", ["my/quickstart.yaml", "/quickstart", "../quickstart", "guidance"])
def test_other_paths_are_no_names(name):
    with pytest.raises(UserError, match="there is no configuration"):
        config_file(Path(name))


def test_a_file_of_the_user_comes_before_a_shipped_one(elsewhere):
    (elsewhere / "quickstart.yaml").write_text("base: ensemble\nname: mine\n")
    (elsewhere / "quickstart").mkdir()
    assert read_experiment(Path("quickstart.yaml"))["name"] == "mine"
    assert load_experiment(Path("quickstart")).name == "quickstart"


def test_a_wrong_name_lists_the_nearest():
    with pytest.raises(UserError, match=r"such as quickstart, studies/quickstart"):
        config_file(Path("quikstart"))
    with pytest.raises(UserError, match=r"which are coarse_basin, .*ensemble, .*quickstart$"):
        config_file(Path("something_else.yaml"))


def test_a_base_lies_beside_the_file_or_is_shipped(elsewhere):
    mine = elsewhere / "below" / "mine.yaml"
    mine.parent.mkdir()
    mine.write_text("base: data_space/quickstart\nname: mine\n")
    assert load_experiment(mine).autoencoder.kind == "identity"
    assert base_file("quickstart.yaml", of=mine) == FOLDER / "quickstart.yaml"
    (mine.parent / "quickstart.yaml").touch()
    assert base_file("quickstart.yaml", of=mine) == mine.parent / "quickstart.yaml"
    with pytest.raises(UserError, match="no configuration absent"):
        base_file("absent", of=mine)


def test_all_shipped_names_are_configurations():
    names = shipped_configs()
    assert {"quickstart", "studies/quickstart", "few_steps/quickstart"} <= names.keys()
    assert not [name for name in names if name.startswith(("accelerate", "guidance"))]


def test_the_quickstart_reads_the_shipped_archive_and_writes_here(elsewhere):
    run = Run(load_experiment(Path("quickstart")))
    assert run.settings.data.archive == ARCHIVE
    assert run.settings.data.stored == shipped.PACKAGES / ARCHIVE
    assert run.archive.path == shipped.PACKAGES / ARCHIVE
    assert run.directory == Path("runs/quickstart")
    ARCHIVE.parent.mkdir(parents=True)
    ARCHIVE.touch()
    assert run.settings.data.stored == ARCHIVE


def test_only_shipped_files_are_looked_for_among_the_packages():
    for name in ("data/errors.py", "README.md", "data/archives/ensemble", "configs/../data.py"):
        assert to_read(Path(name)) == Path(name)
    absolute = Path("/absent/data/archives/ensemble.zarr.zip")
    assert to_read(absolute) == absolute


def test_a_model_is_a_folder_at_hand_or_a_shipped_one(tmp_path, monkeypatch):
    packages, name = tmp_path / "packages", Path("data/models/basin")
    monkeypatch.setattr(shipped, "PACKAGES", packages)
    with pytest.raises(UserError, match="no configuration data/models/basin"):
        run_or_model(name)
    (packages / name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"^{packages / name} holds no model"):
        run_or_model(name)
    name.mkdir(parents=True)
    with pytest.raises(UserError, match=r"^data/models/basin holds no model"):
        run_or_model(name)
    for other in (Path("data/models/.."), Path("models/basin")):
        assert shipped.model_to_read(other) == other
    assert run_or_model(Path("quickstart")).settings.name == "quickstart"


def test_without_the_finished_members_all_of_the_ensemble_is_left():
    ensemble = load_experiment(Path("ensemble")).data.ensemble
    left = "33 integrations of 3,630 model years, at 2.5 degrees about 7.8 hours of one core"
    assert work_left(ensemble) == left
