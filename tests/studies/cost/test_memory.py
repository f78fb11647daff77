"""The memory of the stages that read a whole archive."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import zarr

from data.archive.reader import StateArchive
from halocline import main
from studies.cost.memory import DIFFERENT, STAGES, memory_cost, write_output


def test_a_store_of_links_reads_as_many_states(tmp_path):
    write_output(tmp_path / "few.zarr", (4, 12, 8), states=DIFFERENT)
    write_output(tmp_path / "many.zarr", (4, 12, 8), states=11)
    many = StateArchive.open(tmp_path / "many.zarr")
    few = StateArchive.open(tmp_path / "few.zarr")
    assert len(many) == 11
    assert (many.read([10]).temperature == few.read([3]).temperature).all()
    assert (many.read([0]).temperature != many.read([1]).temperature).any()
    np.testing.assert_allclose(many.time, np.arange(11) / 12)
    chunks = tmp_path / "many.zarr" / "thetao" / "c"
    assert (chunks / "10/0/0/0").samefile(chunks / "3/0/0/0")
    assert {*many.indices("train")} == {0, 1, 4, 5, 6, 7}, "no part has a state of another"
    assert [*many.indices("validation"), *many.indices("test")] == [2, 8, 3, 9, 10]
    assert zarr.open_group(tmp_path / "many.zarr", mode="r")["so"].shape[0] == 11


@pytest.mark.slow
def test_the_command_measures_every_stage(tiny_config, tmp_path, capsys):
    words = [str(tiny_config), "--grid", "4x24x16", "--states", "6"]
    main(["study", "cost", "memory", *words, "--output", str(tmp_path / "memory.json")])
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "memory.json").read_text()) == printed
    assert [*printed["stages"]] == [*STAGES]
    assert printed["archive_MB"] == 6 * 2 * 4 * 4 * 24 * 16 / 1e6
    for cost in printed["stages"].values():
        assert cost["processor_seconds"] > 0


def test_too_few_states_are_refused(tiny_config):
    with pytest.raises(SystemExit, match="2 states leave a part of the data empty"):
        main(["study", "cost", "memory", str(tiny_config), "--states", "2"])


def test_files_of_another_measurement_are_refused(tiny_config, tmp_path):
    (tmp_path / "latents.safetensors").touch()
    with pytest.raises(SystemExit, match=f"{tmp_path} is not empty"):
        main(["study", "cost", "memory", str(tiny_config), "--folder", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process's memory")
def test_memory_does_not_grow_with_the_number_of_states(tiny_experiment, tmp_path):
    """Of every stage: 32 and 192 states of 1 MB, both several batches.

    The training states alone are 113 MB more, their latents about 13 MB. The closed form holds
    blocks of up to 1 GiB, see `tests/latent_diffusion/test_gaussian.py`.
    """
    few, many = (
        memory_cost(
            tiny_experiment(),
            (4, 192, 170),
            states=states,
            folder=tmp_path / str(states),
            threads=1,
            frees_at_once=True,
        )
        for states in (32, 192)
    )
    for stage in STAGES.keys() - {"closed form of the latents"}:
        assert many[stage]["peak_MB"] - few[stage]["peak_MB"] < 40, stage
