"""The study of unseen members, from a trained model to tables and figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from configs.stages import train_codec, train_denoiser
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from data.errors import UserError
from latent_diffusion import sample
from studies.conditional import coverage, draws
from studies.conditional.members import halfway, members_of, most_distant, unseen_members
from studies.conditional.rows import LABELS
from studies.conditional.study import run
from studies.conditional.tables import GROUPS, OTHER, conditional_table


def with_seeds(one, count):
    """The run, judged with so many sampling seeds."""
    evaluation = one.settings.evaluation.model_copy(update={"seeds": count})
    return one.with_settings(evaluation=evaluation)


@pytest.fixture(scope="module")
def result(conditional, tmp_path_factory):
    """The result of the tiny run, with few draws, and the folder that it is written to."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "FEWEST", 8)
        patch.setattr(coverage, "DRAWS", 20)
        patch.setattr(coverage, "TRIALS", 50)
        run(with_seeds(conditional, 2), output=folder / "result.json", figures=folder)
    return json.loads((folder / "result.json").read_text()), folder


@pytest.fixture
def found(conditional):
    """Archive, space and settings of the conditions of the tiny run."""
    space, settings = conditional.expectation().space, conditional.settings.conditions
    return conditional.archive, {"space": space, "settings": settings}


def test_each_unseen_member_is_judged_by_itself(result):
    members = result[0]["members"]
    assert {name: m["split"] for name, m in members.items()} == {
        "member 4": "test", "member 5": "test", "member 6": "outside",
    }  # fmt: skip
    first = members["member 4"]
    assert (first["nearest"], first["replicate"]) == ("member 2", "member 5")
    assert set(first["rows"]) == set(LABELS)
    assert set(members["member 6"]["rows"]) == set(LABELS) - {"replicate"}
    assert first["rows"]["replicate"]["rmse_temperature"] < 0.8
    assert first["rows"]["nearest"]["rmse_temperature"] > 1  # 2 log 2 = 1.4 K
    assert first["rows"]["ridge"]["rmse_temperature"] < 0.8
    assert first["rows"]["guided_adjusted"]["density_error_percent"] == 0


def test_states_are_drawn_at_the_conditions_of_the_true_ones(result, conditional):
    archive = StateArchive.open(conditional.directory / "conditional" / "guided.zarr")
    assert len(archive) == 4 * 20  # three members and the pair's middle, each state once
    assert archive.parameters["gm"][:20].tolist() == [2000.0] * 20
    assert archive.parameters["gm"][60:] == pytest.approx(np.sqrt(500 * 1000))
    assert archive.parameters["age"][:20].tolist() == list(np.arange(80.0, 100.0))


def test_states_about_the_expected_mean_are_other_states(result, conditional):
    folder = conditional.directory / "conditional"
    drawn, expected = (StateArchive.open(folder / f"{row}.zarr") for row in ("guided", "expected"))
    assert json.loads(expected.attributes["sampling"])["conditions"]["certain"] is True
    assert not drawn.read([0]).temperature.equal(expected.read([0]).temperature)


def test_drawing_is_not_repeated(result, conditional, monkeypatch):
    monkeypatch.setattr(draws, "FEWEST", 8)
    monkeypatch.setattr(sample, "_draw_parts", lambda *_, **__: pytest.fail("drawn again"))
    space, settings = conditional.expectation().space, conditional.settings.conditions
    unseen = unseen_members(conditional.archive, space=space, settings=settings)
    pair = most_distant(members_of(conditional.archive, "train", space=space, settings=settings))
    conditions = {one.name: draws.repeated(one.conditions) for one in unseen}
    drawn = draws.draw_all(
        conditional,
        conditions | {"middle": draws.repeated(halfway(pair, space))},
        folder=conditional.directory / "conditional",
    )
    assert len(drawn.read("guided", "member 6")) == 20


def test_few_states_are_repeated_and_all_equally_often(found):
    archive, keywords = found
    member = unseen_members(archive, **keywords)[0]
    repeated = draws.repeated(member.conditions.at(range(3)))
    assert len(repeated) == 66
    assert np.unique(repeated.values["age"], return_counts=True)[1].tolist() == [22] * 3


def test_spread_over_seeds_is_that_of_generated_states_alone(result, conditional):
    seeds, summary = result[0]["seeds"], result[0]["summary"]["test"]["median"]
    assert seeds["seeds"] == [0, 1]
    deviation = seeds["deviation"]["summary"]["test"]["median"]
    for row in LABELS:
        is_drawn = row in draws.DRAWN
        assert bool(deviation[row]["rmse_temperature"]) == is_drawn
    mean = seeds["mean"]["summary"]["test"]["median"]["guided"]["rmse_temperature"]
    assert mean != summary["guided"]["rmse_temperature"]
    spread = deviation["guided"]["rmse_temperature"]
    assert abs(mean - summary["guided"]["rmse_temperature"]) == pytest.approx(spread / 2**0.5)
    assert set(seeds["met"]["guided_adjusted"].values()) <= {0, 1, 2, None}


def test_states_of_further_seeds_are_kept_apart(result, conditional):
    folder = conditional.directory / "conditional"
    own, other = (StateArchive.open(folder / part / "guided.zarr") for part in ("", "seed_1"))
    assert not own.read([0]).temperature.equal(other.read([0]).temperature)


@pytest.mark.parametrize("group", [None, *OTHER, *GROUPS])
def test_tables_show_rows_and_aims(result, group):
    lines = conditional_table(result[0], group).splitlines()
    assert len(lines) > 5
    if group not in OTHER:
        assert any(line.startswith("| guided, adjusted | ") and "±" in line for line in lines)
        assert not any(line.startswith("| nearest") and "±" in line for line in lines)


def test_figures_are_written(result):
    names = {path.name for path in result[1].glob("*.png")}
    assert names == {"conditional_tiny_profiles.png", "conditional_tiny_response.png"}


def test_a_member_that_was_seen_is_refused(found):
    archive, keywords = found
    seen = StateArchive.open(archive.path)
    seen.split = np.where(np.arange(len(seen)) == 80, 0, seen.split)
    with pytest.raises(UserError, match=r"member 4 of .* split the archive by member"):
        unseen_members(seen, **keywords)


def test_a_model_without_conditions_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match="has no section conditions"):
        run(trained, output=tmp_path / "result.json", figures=tmp_path)


@pytest.mark.slow
def test_three_members_are_enough_to_leave_one_out(conditional_archive, conditional, tmp_path):
    source = StateArchive.open(conditional_archive)
    path = tmp_path / "three.zarr"
    with ArchiveWriter(path, grid=source.grid, equation_of_state="veros-vallis") as writer:
        for number, (member, split) in enumerate({0: 0, 2: 2, 4: 0}.items()):
            for count, index in enumerate(np.flatnonzero(source.member == member)):
                writer.append(
                    source.read([index]),
                    member=number,
                    time=float(source.time[index]),
                    split=split if split or count < 17 else 1,
                    parameters={name: float(v[index]) for name, v in source.parameters.items()},
                )
    data = conditional.settings.data.model_copy(update={"archive": path})
    leaving_out = conditional.with_settings(data=data, run_directory=tmp_path / "run")
    train_codec(leaving_out)
    train_denoiser(leaving_out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "FEWEST", 8)
        patch.setattr(coverage, "DRAWS", 20)
        patch.setattr(coverage, "TRIALS", 50)
        result = run(leaving_out, output=tmp_path / "result.json", figures=tmp_path)
    assert result["training_members"] == 2
    (member,) = result["members"].values()
    # Water is warmer by 2 log(gm / 1000): half-way, in the logarithm, between 500 and 2000.
    assert member["rows"]["ridge"]["rmse_temperature"] < 0.5
    assert member["rows"]["nearest"]["rmse_temperature"] > 1
    for group in GROUPS:
        assert conditional_table(result, group)
