"""What the README tells people to type is accepted, and what it shows of Python runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from evaluation.columns import format_spread
from halocline import main
from tests.shown import ROOT, shown_on

README = (ROOT / "README.md").read_text()
# What a reader looks for, in this order.
ORDER = (
    *("Three findings", "What is special", "Two commands", "Five lines of Python"),
    *("Your own model", "Numbers", "Limits"),
)


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


COMMANDS = [
    one.words[1:]
    for one in shown_on(ROOT / "README.md")
    if one.fenced and one.words[0] == "halocline"
]


def test_sections_are_in_the_order_of_a_reader():
    titles = re.findall(r"^## (.*)$", README, flags=re.M)
    assert tuple(titles[: len(ORDER)]) == ORDER
    assert README.index("![") < README.index("## "), "a picture comes first"


@pytest.fixture(scope="module")
def findings() -> str:
    """The section of the findings, in one line."""
    start, end = (README.index(f"## {title}") for title in ("Three findings", "What is special"))
    return " ".join(README[start:end].split())


DRAWN = ("generated", "generated_seed_1", "generated_seed_2")


def test_distances_in_the_model_are_those_of_three_seeds(findings):
    rows = result("spinup")["spinup"]["distances"]
    everywhere = [str(point) for point in range(4)]
    survived = [point for point in everywhere if point in rows["nearest_member"]["last_year_K"]]
    assert len(survived) == 3

    def mean(start, year, points):
        return np.mean([rows[start][f"{year}_year_K"][point] for point in points])

    def extent(year, points):
        low, *_, high = sorted(mean(start, year, points) for start in DRAWN)
        return f"{low:.2f} to {high:.2f}"

    def both(start, points):
        return f"{mean(start, 'second', points):.2f} and {mean(start, 'last', points):.2f} K"

    assert f"temperature are {extent('second', everywhere)} K" in findings
    assert f"second year and {extent('last', everywhere)} K [in the twentieth]" in findings
    there = f"{extent('second', survived)} and {extent('last', survived)} K"
    nearest = both("nearest_member", survived)
    assert f"three are {nearest} away (generated states there: {there})" in findings
    (floor,) = {f"{mean('floor', year, everywhere):.2f}" for year in ("second", "last")}
    assert f"as near as a start can come, is {floor} K away in both years" in findings
    runs = result("spinup")["spinup"]["runs"]
    assert {runs[start]["years"] for start in (*DRAWN, "nearest_member", "floor")} == {20.0}
    assert [runs[start]["blown_up"] for start in (*DRAWN, "nearest_member")] == [0, 0, 0, 1]


def test_transports_and_saved_years_are_those_of_the_report(findings):
    rows = result("spinup")["spinup"]["aims"]
    ours = sorted(rows[start]["channel_transport_error_Sv"] for start in DRAWN)
    floor = rows["floor"]["channel_transport_error_Sv"]
    nearest = rows["nearest_member"]["channel_transport_error_Sv"]
    said = f"{ours[0]:.0f} to {ours[-1]:.0f} Sv off, no better than from the nearest member's state"
    assert f"{said} ({nearest:.0f} Sv; another own state {floor:.0f} Sv)" in findings
    assert not any(rows[start]["nearest_reached"] for start in DRAWN)
    (years,) = {rows[start]["nearest_years"] for start in DRAWN}
    assert (
        f"In the median it takes these more than {years:.0f} years to come as near in temperature "
        "as generated starts are in their second" in findings
    )


def test_distances_with_short_steps_are_those_of_the_result(findings):
    daily = result("quickstart_integration_1day")["by_start"]
    assert not any(start["blown_up"] for start in daily.values())
    ours, theirs = (daily[name] for name in ("generated", "nearest_member"))
    page = (ROOT / "docs" / "results" / "index.md").read_text()
    for label, start in {"generated state": ours, "nearest training member": theirs}.items():
        row = [*start["distances_K"], start["distance_K"]]
        assert f"| {label} | {' | '.join(f'{x:.3f}' for x in row)} |" in page
    assert all(
        one < other for one, other in zip(ours["distances_K"], theirs["distances_K"], strict=True)
    )
    assert "no run blows up" in findings
    assert "generated starts are nearer at each of the four points" in findings


def test_starts_outside_the_range_are_those_of_the_report():
    rows = result("spinup_outside")["spinup"]["distances"]
    outside = {start: {"4", "5"} & {*row["last_year_K"]} for start, row in rows.items()}
    assert outside["nearest_member"] == {"4", "5"}
    assert all(outside[start] == {"5"} for start in DRAWN)
    low, *_, high = sorted(rows[start]["last_year_K"]["5"] for start in DRAWN)
    said = " ".join(README.split())
    away, floor = (rows[start]["last_year_K"] for start in ("nearest_member", "floor"))
    assert (
        "generated starts of three seeds were tested: at one all blew up (the nearest member's "
        f"start did not, and was {away['4']:.1f} K away; another own state {floor['4']:.2f} K)"
    ) in said
    assert f"at the other they were {low:.2f} to {high:.2f} K from the truth's run" in said
    nearest = rows["nearest_member"]["last_year_K"]["5"]
    assert f"in the twentieth year (from the nearest member {nearest:.2f} K, another own" in said
    assert f"another own state {floor['5']:.2f} K)" in said
    assert result("spinup_outside")["spinup"]["runs"]["generated"]["years"] == 20.0


def test_errors_of_the_mean_are_those_of_the_study(findings):
    seeds = result("conditional_quickstart")["seeds"]
    assert len(seeds["seeds"]) == 3
    found, spread = (seeds[part]["summary"]["test"] for part in ("mean", "deviation"))
    for row, form in {
        "expected_adjusted": "{:.2f} K from the truth's (rms over the volume; median; the worst: "
        "{:.2f} K)",
        "gaussian_process": "({:.2f} K; {:.2f} K)",
        "nearest": "({:.2f} K; {:.2f} K)",
        "replicate": "({:.2f} K; {:.2f} K)",
    }.items():
        errors = (found[part][row]["rmse_temperature"] for part in ("median", "worst"))
        assert form.format(*errors) in findings, row
        assert all(spread[part][row]["rmse_temperature"] < 0.005 for part in ("median", "worst"))


def test_mixed_layers_are_those_of_three_seeds(findings):
    found = result("quickstart")
    rows, seeds = found["rows"], found["seeds"]
    assert len(seeds["seeds"]) == 3
    for key in ("mixed_layer_depth_mean_m", "mixed_layer_depth_p90_m"):
        drawn = format_spread(seeds["mean"][key], seeds["deviation"][key])
        assert f"{drawn} m (truth: {rows['truth'][key]:.0f} m" in findings
        assert f" {rows['eof_gaussian_adjusted'][key]:.0f} m)" in findings
    told = f"(AUC {seeds['mean']['auc_all_levels']:.2f}; EOF-Gaussian "
    told += f"{rows['eof_gaussian_adjusted']['auc_all_levels']:.2f}, two halves of the truth "
    assert told + f"{rows['truth_halves']['auc_all_levels']:.2f})" in " ".join(README.split())
    assert found["verdict"]["fit"]


def test_the_world_is_that_of_three_seeds():
    text = " ".join(README[README.index("**A realistic world.**") :].split())
    rows = [result(f"global4deg_conditions{seed}")["rows"] for seed in ("", "_seed1", "_seed2")]
    for key, form in {
        "mixed_layer_depth_mean_m": "mean mixed layers are {:.1f} to {:.1f} m",
        "variance_ratio_mean_temperature_training": "T has {:.2f} to {:.2f} of",
        "w1_temperature_K": "W₁ of T is {:.3f} to {:.3f} K",
    }.items():
        low, *_, high = sorted(one["guided_adjusted"][key] for one in rows)
        assert form.format(low, high) in text
    truth, floor, gaussian = (rows[0][k] for k in ("truth", "training", "eof_gaussian_adjusted"))
    assert f"truth {truth['mixed_layer_depth_mean_m']:.1f} m" in text
    assert f"EOF-Gaussian states {gaussian['mixed_layer_depth_mean_m']:.0f} m" in text
    distances = (one["w1_temperature_K"] for one in (floor, gaussian))
    assert "(training states {:.3f} K; EOF-Gaussian {:.3f} K)".format(*distances) in text


def test_the_unseen_world_is_that_of_three_seeds():
    text = " ".join(README[README.index("**A realistic world.**") :].split())
    found = result("global4deg_unseen")
    assert len(found["seeds"]["seeds"]) == 3
    key = "w1_temperature_K"
    low, *_, high = sorted(found["seeds"]["values"][key])
    others = found["rows"]["training"]
    study = result("conditional_global4deg_unseen")["seeds"]["mean"]["summary"]["test"]["median"]
    emulator = study["eof_gaussian_adjusted"]
    assert f"W₁ of T {low:.3f} to {high:.3f} K with three sampling seeds" in text
    assert f"the others' states {others[key]:.3f} K)" in text
    page = "docs/results/conditional.md#the-4-degree-world"
    assert f"emulator at that value]({page}) ({emulator[key]:.3f} K)" in text
    assert not found["verdict"]["fit"]
    depth = "mixed_layer_depth_mean_m"
    truth = found["rows"]["truth"][depth]
    low, *_, high = sorted(100 * (one / truth - 1) for one in found["seeds"]["values"][depth])
    assert f"mixed layers are {low:.0f} to {high:.0f} % too deep" in text
    assert f"(emulator: {-emulator['mixed_layer_mean_error_percent']:.0f} % too shallow)" in text


def result(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())


@pytest.mark.slow
def test_a_trained_model_draws_as_shown(conditional, tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
    at = '{"warming": 1.5, "season": 0.0}'  # of the basin; the tiny ocean has another parameter
    name = "data/models/quickstart"
    assert at in code and name in code
    tiny = code.replace(at, '{"gm": 900.0, "season": 0.0}')
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).symlink_to(conditional.model_folder)
    monkeypatch.chdir(tmp_path)
    exec(compile(tiny, "README.md", "exec"), {})
    with xr.open_dataset("states.nc") as states:
        assert states.sizes["member"] == 8
    command = next(words for words in COMMANDS if name in words and "state.nc" in words)
    main([*command])
    with xr.open_dataset("state.nc") as state:
        assert state.sizes["member"] == 1


ELSEWHERE = {  # commands of the list of stages that other tests run
    "init": "tests/test_own_output.py",
    "ingest": "tests/test_own_output.py",
    "integrate": "tests/integration/test_integrate.py",  # needs Veros and a basin
    "simulate": "tests/data/basin",
}


def write_profile(path: Path) -> None:
    """A profile of temperature in the tiny ocean, as CF NetCDF."""
    name = "sea_water_potential_temperature"
    temperature = {"standard_name": name, "units": "degC", "ancillary_variables": "temp_se"}
    error = {"standard_name": f"{name} standard_error", "units": "degC"}
    depth = {"standard_name": "depth", "units": "m", "positive": "down"}
    xr.Dataset(
        {
            "temp": ("obs", [18.0, 12.5], temperature),
            "temp_se": ("obs", [0.1, 0.1], error),
            "z": ("obs", [10.0, 150.0], depth),
            "lon": ("profile", [8.0], {"standard_name": "longitude", "units": "degrees_east"}),
            "lat": ("profile", [-20.0], {"standard_name": "latitude", "units": "degrees_north"}),
            "row_size": ("profile", [2], {"sample_dimension": "obs"}),
        },
        attrs={"featureType": "profile"},
    ).to_netcdf(path)


@pytest.mark.slow
def test_the_stages_run_one_by_one_as_shown(tiny_config, tmp_path, monkeypatch, capsys):
    """The commands as they stand, where `configs/quickstart.yaml` is a tiny experiment."""
    monkeypatch.chdir(tmp_path)
    settings = yaml.safe_load(tiny_config.read_text())
    settings["sampling"]["members"] = 4  # of which `export --member 3` takes the last
    config = tmp_path / "configs" / "quickstart.yaml"
    config.parent.mkdir()
    config.write_text(yaml.safe_dump(settings))
    write_profile(tmp_path / "argo.nc")
    stages = [words for words in COMMANDS if "configs/quickstart.yaml" in words]
    run, *others = [words for words in stages if words[0] not in ELSEWHERE]
    assert len(others) == 8 and all((ROOT / place).exists() for place in ELSEWHERE.values())
    for words in others:
        if words[0] == "translate":
            main(["export", words[1], "--output", "coarse.nc"])  # of the same grid, so noise
        main([*words])
    assert (tmp_path / "run" / "report.html").is_file()
    capsys.readouterr()
    main([*run])
    assert "Done." in capsys.readouterr().out


@pytest.mark.slow
def test_the_shipped_model_draws_as_shown(tmp_path, monkeypatch):
    """In fewer steps; the same command with one state is run above."""
    monkeypatch.chdir(tmp_path)
    (words,) = [words for words in COMMANDS if "warming=1.5" in words]
    main([*words, "--sampling.steps", "4"])
    with xr.open_dataset("warm.nc") as states:
        assert states.sizes["member"] == 4
        assert (states.warming == 1.5).all()
