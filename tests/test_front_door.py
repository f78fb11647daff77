"""The `halocline` command: its options, its products and its error messages."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest
import xarray as xr
import yaml

from data.archive.reader import StateArchive
from data.extras import lacks
from data.restarts.formats import FORMATS
from data.restarts.initial_condition import VelocityChoice
from data.shipped import MODELS, PACKAGES
from evaluation.yardsticks import ROW_NAMES
from halocline import main
from integration import commands
from studies import tables
from tests.browser import assert_readable, find_browser

STUDIES = {
    "autoencoder": (),
    "guidance": (),
    "spinup": ("report", "cold_start", "flow_reference"),
    "cost": (
        *("benchmark", "codec", "adjustment", "guidance", "training", "processes", "growth"),
        "writing",
    ),
    "gaussian_mixture": (),
    "gaussian_posterior": (),
    "tables": (),
}
COMMANDS = ("run", "simulate", "ingest", "sample", "evaluate", "integrate", "export")
ROWS = (
    *("truth", "truth_halves", "training", "training_mean", "eof_gaussian"),
    *("eof_gaussian_adjusted", "autoencoded", "unguided", "guided", "guided_adjusted"),
)


def _exit(words: list[str]) -> str:
    """The one-line error message of `halocline words`; fails if the command succeeds."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    message = caught.value.code
    assert isinstance(message, str), "a status without a sentence"
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)])
def test_there_is_help(capsys, words):
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--section.key value" in text
    if not words:
        assert "halocline run quickstart" in text
        assert all(command in text for command in COMMANDS)


def _help(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_there_is_help_for_every_study(capsys):
    assert all(kind in _help(["study"], capsys) for kind in STUDIES)
    for kind, studies in STUDIES.items():
        text = _help(["study", kind], capsys)
        assert all(study in text for study in studies)
        for study in studies:
            assert "--output" in _help(["study", kind, study], capsys)


def test_the_help_of_export_names_what_can_be_chosen(capsys):
    text = _help(["export"], capsys)
    assert all(name in text for name in FORMATS)
    assert FORMATS == commands.FORMATS
    assert get_args(VelocityChoice) == commands.VELOCITIES


# Packages that take long to import: a mistake must be found without them.
HEAVY = {
    *("torch", "xarray", "zarr", "matplotlib", "scipy", "numba", "diffusers", "accelerate"),
    *("netCDF4", "pandas", "safetensors.torch"),
}
# Seconds of processor time; 0.1 for help and 0.5 for a mistake on a quiet machine. The machine may
# be busy: what a slow mistake is caught by is the packages.
LONGEST = 5.0
QUICKSTART = Path(__file__).resolve().parents[1] / "configs" / "quickstart.yaml"
MODEL = PACKAGES / MODELS / "quickstart"
CF = ["--data.archive", "absent.zarr", "--data.ingest.equation_of_state", "nemo-teos10"]
ABSENT = [str(QUICKSTART), *CF, "--data.ingest.files", "[absent_*.nc]"]
TERMS = QUICKSTART.parent / "studies" / "terms_quickstart.yaml"


def _in_a_process(words: list[str]) -> tuple[set[str], str]:
    """Modules that a command imports until it ends, and what it prints to standard error."""
    source = (
        "import atexit, sys, halocline\n"
        "atexit.register(lambda: print('\\nMODULES', *sys.modules))\n"
        f"halocline.main({words!r})"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, "-c", source], text=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert seconds < LONGEST
    return set(ended.stdout.partition("MODULES")[2].split()), ended.stderr


@pytest.mark.parametrize("words", [[], ["run"], ["study", "cost", "benchmark"]])
def test_help_imports_no_settings(words):
    modules, _ = _in_a_process([*words, "--help"])
    assert "halocline" in modules
    assert not {*HEAVY, "numpy", "pydantic"} & modules


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rn", str(QUICKSTART)], "did you mean run?"),
        (["export", str(QUICKSTART), "--ouput=start.nc"], "did you mean --output?"),
        (["train", "autoencoder", "absent.yaml"], "no configuration absent.yaml"),
        (["run", str(QUICKSTART), "--sampling.membrs", "3"], "did you mean sampling.members?"),
        (["run", str(QUICKSTART), "--guidance.terms", "[hinge]"], "no constraint hinge"),
        (["run", *ABSENT], "no file matches absent_*.nc: check the path in data.ingest.files."),
        (["ingest", *ABSENT], "no file matches absent_*.nc: check the path in data.ingest.files."),
        (["sample", str(QUICKSTART), "--sampling.membrs", "3"], "did you mean sampling.members?"),
        (["sample", str(QUICKSTART), "--sampling.members", "x"], "expected a whole number"),
        (["sample", str(MODEL), "--sampling.membrs", "3"], "did you mean sampling.members?"),
        (
            ["sample", str(QUICKSTART), "--members", "3"],
            "command line: members: no such key; did you mean sampling.members?",
        ),
        (["sample", str(MODEL), "--at", "warmin=2", "--output", "s.nc"], "did you mean warming?"),
        (["sensitivity", str(QUICKSTART), "--to", "warmin=2"], "did you mean warming?"),
        (["pack", str(QUICKSTART), "--sampling.membrs", "3"], "did you mean sampling.members?"),
        (["export", str(QUICKSTART), "--format", "mitgmc"], "did you mean mitgcm?"),
        (["init", "a/b", "--files", "x"], "is no name of an experiment"),
        (["init", "mine", "--files", "absent_*.nc"], "no file matches absent_*.nc"),
        (
            ["init", "mine", "--files", "*.nc", "--set", "time_stp=60"],
            "--set time_stp: no such key of data.ingest; did you mean data.ingest.time_step?",
        ),
        (
            ["init", "mine", "--files", "*.nc", "--set", "parameters.gm=m2 s-1"],
            "units of parameters are set together: --set 'parameters={gm: UNIT}'",
        ),
        (["study", "terms", str(TERMS), "--membrs", "3"], "did you mean members?"),
        (["study", "terms", str(TERMS), "--colour", "3"], "command line: colour: no such key\n"),
        (["study", "cost", "benchmark", str(QUICKSTART), "--nme", "a"], "did you mean name?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_found_without_tensors(words, expected):
    modules, error = _in_a_process(words)
    assert expected in error
    assert "halocline" in modules
    assert not HEAVY & modules


def test_a_command_without_configuration_refuses_settings(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["study", "tables", "--sampling.members", "3"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --sampling.members 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evalute", "some.yaml"], "did you mean evaluate?"),
        (["train", "diffussion", "some.yaml"], "did you mean diffusion?"),
        (["study", "guidence"], "did you mean guidance?"),
        (["export", "some.yaml", "--ouput=start.nc"], "no option --ouput; did you mean --output?"),
        (["study", "tables", "--hlp"], "no option --hlp; did you mean --help?"),
        (["--versoin", "study", "tables"], "no option --versoin; did you mean --version?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_command_or_option_is_recognised(capsys, words, expected):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_what_is_like_nothing_suggests_nothing(capsys):
    with pytest.raises(SystemExit):
        main(["bake", "some.yaml"])
    error = capsys.readouterr().err
    assert "invalid choice: 'bake'" in error and "did you mean" not in error


def test_the_version_is_that_of_the_installed_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"halocline {version('halocline')}\n"


def test_the_tables_command_fills_the_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    made_by = {"command": "halocline study cost processes", "commit": "abc", "machine": "a laptop"}
    rows = {"one process": {"states_per_second": 2.0}}
    result = {"kind": "processes", "processes": rows, "provenance": made_by}
    (tmp_path / "docs" / "results" / "processes.json").write_text(json.dumps(result))
    page = tmp_path / "README.md"
    page.write_text("<!-- table processes -->\n<!-- end -->\n")
    main(["study", "tables"])
    assert "| one process | 2 |" in page.read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "{config}", "--sampling.membrs", "3"], "did you mean sampling.members?"),
        (["run", "{config}", "--samplng.members", "3"], "did you mean sampling?"),
        (["run", "{config}", "--workers", "3"], "workers: no such key"),
        (["run", "absent.yaml"], "no configuration absent.yaml"),
        (["run", "{config}", "--data.archive", "absent.zarr"], "absent.zarr does not exist"),
        (["simulate", "{config}"], "no section data.ensemble"),
        (["ingest", "{config}"], "no section data.ingest"),
        (["sample", "{config}"], "holds no model"),
        (["evaluate", "{config}"], "holds no model"),
        (["integrate", "{config}"], "no ocean model to integrate"),
        (["export", "{config}"], "guided_adjusted.zarr does not exist"),
        (["export", "{config}", "--format", "nemo-restart"], "needs --template"),
        (["export", "{config}", "--states", "{archive}"], "with --adjust"),
        (
            ["export", "{config}", "--states", "{archive}", "--equation-of-state", "teos"],
            "Unknown equation of state 'teos'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line(
    tiny_config, tiny_archive, monkeypatch, tmp_path, words, expected
):
    monkeypatch.chdir(tmp_path)
    message = _exit([word.format(config=tiny_config, archive=tiny_archive) for word in words])
    assert message.startswith("halocline: ")
    assert expected in message


@pytest.mark.parametrize("words", [["run"], ["study", "terms"]])
def test_a_missing_ensemble_is_not_simulated_unless_asked_for(words, tmp_path, monkeypatch):
    def never(*_: object, **__: object) -> None:
        pytest.fail("a simulation started")

    monkeypatch.setattr("data.basin.ensemble.run_ensemble", never)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("base: ensemble\ndata: {archive: absent.zarr.zip}\n")
    (tmp_path / "study.yaml").write_text(
        TERMS.read_text().replace("base: ../one_climate/quickstart.yaml", "base: own.yaml")
    )
    config = "own.yaml" if words == ["run"] else "study.yaml"
    message = _exit([*words, config])
    assert message == (
        "halocline: absent.zarr.zip does not exist; `halocline simulate CONFIG` makes it (33 "
        "integrations of 3,630 model years, at 2.5 degrees about 7.8 hours of one core)"
    )


def test_a_simulation_that_is_asked_for_says_how_long_it_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("data.basin.ensemble.run_ensemble", lambda *_, **__: sys.exit("begun"))
    monkeypatch.chdir(tmp_path)
    assert _exit(["simulate", "ensemble", "--data.archive", "absent.zarr.zip"]) == "begun"
    assert "simulating: 33 integrations of 3,630 model years" in capsys.readouterr().out


def test_a_shipped_archive_is_not_simulated_again_over_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = _exit(["simulate", "ensemble"])
    assert "comes with Halocline; to simulate it again give another path" in message
    assert not list(tmp_path.iterdir())


def test_a_run_without_the_extras_says_first_what_is_left_out(
    tiny_config, tmp_path, monkeypatch, capsys
):
    lacks.cache_clear()
    monkeypatch.setattr("data.extras.is_installed", lambda _: False)
    try:
        _exit(["run", str(tiny_config), "--data.archive", "absent.zarr"])
    finally:
        lacks.cache_clear()
    curves, figures = capsys.readouterr().err.splitlines()
    assert "no training curves are written" in curves and "halocline[train]" in curves
    assert "no figures are drawn" in figures and "halocline[report]" in figures


# Without the extras these are imported, and states are drawn and judged.
CORE_ALONE = """
import importlib, sys

for name in ("matplotlib", "cmocean", "tensorboard", "veros", "dask"):
    sys.modules[name] = None  # as if it were not installed
for name in (
    *("configs.stages", "configs.ingestion", "configs.verification", "configs.draft"),
    *("latent_diffusion.pipeline", "evaluation.evaluate", "integration.export"),
    *("integration.study", "training.launch", "halocline"),
):
    importlib.import_module(name)
import halocline
halocline.main(sys.argv[1:])
"""


def test_the_core_needs_no_extra(tiny_config):
    words = ["sensitivity", str(tiny_config), "--to", "warming=1"]
    ended = subprocess.run(
        [sys.executable, "-c", CORE_ALONE, *words], text=True, capture_output=True
    )
    expected = "halocline: matplotlib is not installed: pip install 'halocline[report]'\n"
    assert ended.stderr == expected


def test_a_damaged_archive_ends_in_one_line(tiny_config, tmp_path):
    archive = tmp_path / "damaged.zarr"
    archive.mkdir()
    (archive / "zarr.json").write_text("{")
    assert "damaged.zarr" in _exit(["run", str(tiny_config), "--data.archive", str(archive)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_tiny_config) -> Path:
    """The configuration of a run with all stages completed."""
    config = write_tiny_config(tmp_path_factory.mktemp("finished"))
    main(["run", str(config), "--diffusion.training.samples", "32"])
    settings = yaml.safe_load(config.read_text())
    settings["diffusion"]["training"]["samples"] = 32
    config.write_text(yaml.safe_dump(settings))
    return config


def _products(run: Path) -> dict[str, int]:
    """Modification times of the files that are expensive to produce."""
    folders = ("autoencoder", "diffusion", "model", "samples")
    files = [path for folder in folders for path in (run / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(run)): os.stat(path).st_mtime_ns for path in files}


def test_a_run_ends_with_metrics_report_and_initial_condition(finished):
    run = finished.parent / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert tuple(metrics["rows"]) == ROWS
    assert len({tuple(sorted(row)) for row in metrics["rows"].values()}) == 1
    adjusted, guided = metrics["rows"]["guided_adjusted"], metrics["rows"]["guided"]
    assert adjusted["density_error_strict_percent"] == 0
    assert guided["density_error_strict_percent"] > 0
    assert metrics["integration"] is None
    assert metrics["provenance"]
    compression = pytest.approx(metrics["cost"]["compression_factor"], abs=0.01)
    assert metrics["autoencoder"]["compression"] == compression
    assert set(metrics["cost"]) >= {"autoencoder_seconds", "diffusion_seconds"}
    report = (run / "report.html").read_text()
    assert all(ROW_NAMES[row] in report for row in ROWS)
    assert "as the training states (" in report
    verdict = metrics["verdict"]
    assert verdict["fit"] is False
    assert "nothing can be concluded" in verdict["reasons"][0]
    assert {"name", "value", "reference", "allowed", "passed"} <= set(verdict["checks"][0])
    head = report.partition("<h2>")[2].partition("</div>")[0]
    assert head.startswith("Verdict: not fit to start a model.")
    assert all(escape(reason) in head for reason in verdict["reasons"])
    assert set(metrics["excess"]) == {*ROWS} - {"training"}
    assert list((run / "figures").glob("*.png"))
    with xr.open_dataset(run / "initial_condition_0.nc") as initial:
        assert {"thetao", "so"} <= set(initial)


def test_the_report_of_a_run_is_readable_in_a_browser(finished, tmp_path):
    found = assert_readable(find_browser(), finished.parent / "run" / "report.html", tmp_path)
    assert found["phone"]["image"] >= 600, "labels of a figure shrink to unreadable size"


def test_without_matplotlib_the_report_has_no_figures(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.evaluate.lacks", lambda package: package == "matplotlib")
    run = finished.parent / "run"
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("figures"))
    main(["evaluate", str(finished), "--run_directory", str(tmp_path / "run")])
    assert "<img" in (run / "report.html").read_text()
    assert "<img" not in (tmp_path / "run" / "report.html").read_text()
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "figures").exists()


def test_running_again_makes_nothing_again(finished, capsys, monkeypatch):
    monkeypatch.setattr("evaluation.evaluate.evaluate", lambda *_, **__: {})  # it is always redone
    run = finished.parent / "run"
    before = _products(run)
    assert {Path(name).parts[0] for name in before} == {
        *("autoencoder", "diffusion", "model", "samples")
    }
    main(["run", str(finished)])
    assert _products(run) == before
    printed = capsys.readouterr()
    assert "== sampling" in printed.out
    reasons = json.loads((run / "metrics.json").read_text())["verdict"]["reasons"]
    lines = printed.out.splitlines()[-len(reasons) - 1 :]
    assert lines == ["Verdict: not fit to start a model.", *(f"- {reason}" for reason in reasons)]
    (warning,) = [line for line in printed.err.splitlines() if "warning" in line]
    assert warning.startswith(f"halocline: warning: the states of {run} are not fit to start")
    assert "nothing can be concluded" in warning


def test_an_export_repeats_the_verdict_and_is_still_written(finished, tmp_path, capsys):
    run = finished.parent / "run"
    kept = (run / "metrics.json").read_text()

    def exported() -> tuple[str, str]:
        output = tmp_path / "start.nc"
        main(["export", str(finished), "--output", str(output), "--overwrite"])
        assert output.exists()
        printed = capsys.readouterr()
        return printed.out, printed.err

    def told(**changes) -> tuple[str, str]:
        metrics = json.loads(kept)
        metrics["verdict"] |= changes
        (run / "metrics.json").write_text(json.dumps(metrics))
        return exported()

    reasons = ["Too little data.", "Mixed layer."]
    try:
        warning = "are not fit to start a model: Too little data. Mixed layer.\n"
        assert told(reasons=reasons)[1].endswith(warning)
        out, error = told(fit=True, reasons=["All passed."])
        assert out.endswith("Verdict: fit to start a model. All passed.\n") and error == ""
        assert "no verdict on the states of its model" in told(weights="of another model")[1]
        assert "no verdict on the states of its model" in told(reasons=None)[1]
        (run / "metrics.json").unlink()
        out, error = exported()
        assert "erdict" not in out and error == ""
    finally:
        (run / "metrics.json").write_text(kept)


def test_fewer_states_do_not_silently_replace_an_evaluation(finished, monkeypatch, capsys):
    run = finished.parent / "run"
    judged = json.loads((run / "metrics.json").read_text())["rows"]["truth"]["states"]
    monkeypatch.setattr("evaluation.evaluate.evaluate", lambda *_, **__: {})
    fewer = ["--evaluation.states", str(judged - 1)]
    for command in ("evaluate", "run"):
        message = _exit([command, str(finished), *fewer])
        assert message.startswith(f"halocline: {run}/metrics.json and the report rest on {judged} ")
        assert message.endswith("with the option --replace of halocline evaluate")
    main(["evaluate", str(finished), *fewer, "--replace"])
    main(["evaluate", str(finished), "--evaluation.states", str(judged)])
    assert capsys.readouterr().out.count(f"wrote {run / 'report.html'}") == 2


def test_states_that_no_model_made_have_no_verdict(tiny_config, tiny_archive, tmp_path, capsys):
    words = ["export", str(tiny_config), "--states", str(tiny_archive), "--adjust"]
    main([*words, "--output", str(tmp_path / "start.nc")])
    assert "verdict" not in capsys.readouterr().err


def test_any_generated_state_can_be_exported(finished, tmp_path):
    output = tmp_path / "start.nc"
    main(["export", str(finished), "--member", "2", "--output", str(output)])
    states = StateArchive.open(finished.parent / "run" / "samples" / "guided_adjusted.zarr")
    with xr.open_dataset(output) as initial:
        surface = initial["thetao"].squeeze().isel({initial["thetao"].dims[-3]: 0}).to_numpy()
    wet = states.grid.wet[0]
    expected = states.read([2]).temperature[0, 0].numpy()
    assert surface[wet] == pytest.approx(expected[wet], abs=1e-5)


def test_mitgcm_starts_from_any_archive(tiny_config, tiny_archive, tmp_path, capsys):
    words = ["export", str(tiny_config), "--states", str(tiny_archive), "--format", "mitgcm"]
    options = ["--equation-of-state", "jmd95", "--adjust", "--precision", "double"]
    main([*words, *options, "--output", str(tmp_path / "start.bin")])
    grid = StateArchive.open(tiny_archive).grid
    size = 8 * grid.wet.size
    assert [(tmp_path / f"start_{name}.bin").stat().st_size for name in ("theta", "salt")] == [
        size,
        size,
    ]
    printed = capsys.readouterr().out
    assert " readBinaryPrec=64," in printed and " hydrogSaltFile='start_salt.bin'," in printed


def test_a_named_file_is_replaced_only_on_demand(tiny_config, tiny_archive, tmp_path):
    words = ["export", str(tiny_config), "--states", str(tiny_archive), "--adjust"]
    there = tmp_path / "start_eta.bin"
    there.write_text("dear to someone")
    words += ["--format", "mitgcm", "--output", str(tmp_path / "start.bin")]
    message = _exit(words)
    assert f"{there} exists: give another --output, or --overwrite" in message
    assert list(tmp_path.glob("start*")) == [there]
    there.rename(tmp_path / "start_salt.bin")
    main([*words, "--overwrite"])
    size = StateArchive.open(tiny_archive).grid.wet.size
    assert (tmp_path / "start_salt.bin").stat().st_size == 4 * size


def test_without_a_name_the_format_is_in_it_and_may_be_repeated(
    tiny_config, tiny_archive, tmp_path
):
    words = ["export", str(tiny_config), "--states", str(tiny_archive), "--adjust"]
    for _ in range(2):
        main([*words, "--format", "nemo"])
    found = {file.name for file in tmp_path.rglob("initial_condition_*")}
    assert found == {f"initial_condition_0_nemo_{letter}.nc" for letter in "TS"}


def test_a_member_that_is_not_there_cannot_be_exported(finished):
    message = _exit(["export", str(finished), "--member", "3"])
    assert "states 0 to 2; there is no state 3" in message


def test_a_netcdf_file_of_states_is_not_exported(finished, tmp_path):
    words = ["export", str(finished), "--states", str(tmp_path / "state.nc")]
    assert "export reads an archive: sample the same states again with --output" in _exit(words)


def test_a_model_in_place_of_an_experiment_is_recognised():
    assert "is the folder of a model, and this command needs an experiment" in _exit(
        ["evaluate", str(PACKAGES / "data" / "models" / "quickstart")]
    )


def test_a_user_draws_an_ensemble_of_any_size_anywhere(finished, tmp_path, capsys):
    output = tmp_path / "mine.zarr.zip"
    main(["sample", str(finished), "--sampling.members=4", "--output", str(output)])
    assert len(StateArchive.open(output)) == 4
    assert f"wrote {output}" in capsys.readouterr().out


def test_sampled_states_are_replaced_only_on_request(finished, tmp_path):
    output = tmp_path / "mine.zarr"
    words = ["sample", str(finished), "--sampling.members=2", "--output", str(output)]
    main(words)
    before = output.stat().st_mtime_ns
    main(words)
    assert output.stat().st_mtime_ns == before, "the same states stay"
    others = [*words, "--sampling.seed", "5"]
    assert "holds states of other settings: give --overwrite" in _exit(others)
    assert output.stat().st_mtime_ns == before
    main([*others, "--overwrite"])
    assert output.stat().st_mtime_ns != before


def test_simulating_or_ingesting_never_replaces_an_archive(tiny_config, tiny_archive):
    settings = yaml.safe_load(tiny_config.read_text())
    settings["data"]["ingest"] = {
        "reader": "mitgcm",
        "files": ["absent*.nc"],
        "equation_of_state": "jmd95",
    }
    tiny_config.write_text(yaml.safe_dump(settings))
    assert f"{tiny_archive} exists" in _exit(["ingest", str(tiny_config)])
