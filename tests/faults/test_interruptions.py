"""The campaign of interruptions reports what it is there to find."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.archive.format import UNUSED
from data.archive.reader import StateArchive
from data.archive.writer import ArchiveWriter
from tests.faults import interruptions
from tests.faults.bit_flips import PRODUCTS, Flip
from tests.faults.commands import MARK, STAGES
from tests.faults.interrupting import Interruption, Part, wrong_end
from tests.faults.interruptions import KINDS, Kind
from tests.faults.products import contents, differences, of, unfinished
from tests.faults.two_jobs import PAIRS, End, Pair, have_met, wrong_ends
from tests.jobs import PROCESSES, marked, wait_until

SAMPLES = "run/samples/guided.zarr"
WEIGHTS = "run/model/unet/weights.safetensors"
INTERRUPTIONS = KINDS["interruptions"]


def _write_samples(path: Path, grid, states, members: list[int]) -> None:
    with ArchiveWriter(path, grid=grid, equation_of_state="veros-vallis") as writer:
        for index, member in enumerate(members):
            one = states.map(lambda field, i=index: field[i : i + 1])
            writer.append(one, member=member, time=0.0, split=UNUSED)


@pytest.fixture
def products(tmp_path, tiny_grid, tiny_states) -> Path:
    """A folder with samples of three members, weights, and two checkpoints."""
    folder = tmp_path / "products"
    grid = tiny_grid()
    states = tiny_states(grid, batch=3, seed=0)
    _write_samples(folder / SAMPLES, grid, states, [0, 1, 2])
    weights = {"weight": torch.arange(4.0)}
    for name in ("000000016", "000000032"):
        (folder / "run" / "diffusion" / f"checkpoint-{name}").mkdir(parents=True)
        save_file(weights, folder / "run" / "diffusion" / f"checkpoint-{name}/network.safetensors")
    (folder / WEIGHTS).parent.mkdir(parents=True)
    save_file(weights, folder / WEIGHTS)
    return folder


def _rewrite_samples(folder: Path, members: list[int], *, change: float = 0.0) -> None:
    archive = StateArchive.open(folder / SAMPLES)
    states = archive.read(range(len(members)))
    states.temperature[0, 0, -1, 0] += change
    shutil.rmtree(folder / SAMPLES)
    _write_samples(folder / SAMPLES, archive.grid, states, members)


def test_the_same_products_do_not_differ(products):
    before = contents(products)
    _rewrite_samples(products, [0, 1, 2])
    assert differences(contents(products), before) == []


def test_a_lost_member_is_reported(products):
    before = contents(products)
    _rewrite_samples(products, [0, 1])
    assert f"{SAMPLES}: members: 2 lost" in differences(contents(products), before)


def test_members_in_another_order_are_reported(products):
    before = contents(products)
    _rewrite_samples(products, [0, 2, 1])
    assert f"{SAMPLES}: members differs" in differences(contents(products), before)


def test_the_last_bit_of_a_state_is_reported(products):
    before = contents(products)
    _rewrite_samples(products, [0, 1, 2], change=2e-6)
    assert differences(contents(products), before) == [f"{SAMPLES} differs"]


def test_the_last_bit_of_a_weight_is_reported(products):
    before = contents(products)
    weights = load_file(products / WEIGHTS)
    weights["weight"][3] = torch.nextafter(torch.tensor(3.0), torch.tensor(4.0))
    save_file(weights, products / WEIGHTS)
    assert differences(contents(products), before) == [f"{WEIGHTS} differs"]


def test_missing_and_unexpected_products_are_reported(products):
    before = contents(products)
    (products / WEIGHTS).rename(products / "other.safetensors")
    found = differences(contents(products), before)
    assert found == [f"{WEIGHTS} is missing", "other.safetensors should not be there"]
    assert WEIGHTS not in of(before, ("run/samples",))


def test_only_the_last_checkpoint_counts(products):
    before = contents(products)
    shutil.rmtree(products / "run/diffusion/checkpoint-000000016")
    assert differences(contents(products), before) == []
    shutil.rmtree(products / "run/diffusion/checkpoint-000000032")
    assert differences(contents(products), before) != []


@pytest.mark.parametrize("name", ["run/job.lock", "model.host-1.partial", "run/.shared-1"])
def test_what_is_left_over_is_reported(products, name):
    assert unfinished(products) == []
    (products / name).touch()
    assert unfinished(products) == [f"{name} was left over"]


def _trial(number: signal.Signals, **others) -> Interruption:
    kept = {"stage": "sample", "processes": 1, "worker": None, "moment": 0.5}
    return Interruption(number=number, **(kept | others))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_wrong_exit_code_is_reported(number):
    trial = _trial(number)
    assert wrong_end(trial, 75, "stopped", part=Part.WORK) == []
    for code in (0, 1, -number):
        assert wrong_end(trial, code, "", part=Part.WORK) == [f"it ended with {code} instead of 75"]
    assert wrong_end(trial, -number, "", part=Part.START_UP) == []
    assert wrong_end(trial, 0, "", part=Part.END) == []
    assert wrong_end(trial, -number, "", part=Part.END) != []
    (found,) = wrong_end(trial, 75, "Traceback (most recent call last):", part=Part.WORK)
    assert "traceback" in found


def test_a_wrong_exit_code_of_a_worker_is_reported():
    trial = _trial(signal.SIGTERM, processes=2, worker=1)
    said = "  rank      : 1\n  exitcode  : {} (pid: 12)\n"
    assert wrong_end(trial, 1, said.format(75), part=Part.WORK) == []
    assert wrong_end(trial, 1, said.format(-15), part=Part.WORK) == [
        "its workers ended with [-15], and none with 75"
    ]
    assert wrong_end(_trial(signal.SIGUSR1, processes=2), 0, "", part=Part.WORK) == [
        "it ended with 0 instead of -10 or 1"
    ]


REFUSAL = (
    "halocline: run is used by process {pid} on {host} (since 2030-01-01T00:00:00+00:00); wait "
    "until that job ends, or end it, and run the same command again."
)


def _ends(*codes: int, said: str) -> list[End]:
    return [End("sample", 10 + i, code, said if code else "") for i, code in enumerate(codes)]


def test_the_ends_of_two_jobs_are_judged():
    refused = REFUSAL.format(pid=10, host=socket.gethostname())
    assert wrong_ends(_ends(0, 1, said=refused)) == []
    for ends in (
        _ends(1, 1, said=refused),
        _ends(0, 2, said=refused),
        _ends(0, 1, said=REFUSAL.format(pid=99, host=socket.gethostname())),
        _ends(0, 1, said=REFUSAL.format(pid=10, host="elsewhere")),
        _ends(0, 1, said="halocline: run is used by another process; wait until that job ends"),
        _ends(0, 1, said=f"Traceback (most recent call last):\n{refused}"),
    ):
        assert have_met(ends)
        assert wrong_ends(ends) != []
    assert not have_met(_ends(0, 0, said=""))


@pytest.mark.skipif(not PROCESSES.exists(), reason="looks for processes in /proc")
def test_processes_of_a_job_are_found_until_they_end(tmp_path):
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(words, env=os.environ | {MARK: "here"}) as process:
        wait_until(lambda: marked(MARK, "here") == [process.pid])
        process.kill()
        wait_until(lambda: marked(MARK, "here") == [])


def test_the_default_trials_cover_everything():
    seeds = INTERRUPTIONS.seeds(INTERRUPTIONS.trials)
    trials = [Interruption.of(seed, INTERRUPTIONS.index(seed)) for seed in seeds]
    stages = Counter((trial.stage, trial.processes) for trial in trials)
    assert len(stages) == 2 * len(STAGES) - 1  # a single process ingests
    assert Counter(trial.number for trial in trials).keys() == {
        *(signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
    }
    assert {trial.worker for trial in trials} == {None, 0, 1}
    pairs = [Pair.of(seed, index) for index, seed in enumerate(KINDS["two jobs at once"].seeds(20))]
    assert {tuple(sorted(pair.names)) for pair in pairs} == {tuple(sorted(p)) for p in PAIRS}
    flips = [Flip.of(seed, index) for index, seed in enumerate(KINDS["bit flips"].seeds(20))]
    assert {flip.name for flip in flips} == {*PRODUCTS}


def test_a_seed_is_of_one_kind_and_means_the_same_trial():
    seeds = [seed for kind in KINDS.values() for seed in kind.seeds(kind.trials)]
    assert sorted(seeds) == [*range(90)]
    for kind in KINDS.values():
        assert [kind.index(seed) for seed in kind.seeds(20)] == [*range(20)]
    assert Interruption.of(17, 3) == Interruption.of(17, 3)


def test_a_flip_changes_one_bit_of_a_chunk_each_time_the_same(products):
    before = {file: file.read_bytes() for file in products.rglob("*") if file.is_file()}
    flip = Flip("samples", seed=7)
    flip(products / SAMPLES)
    (changed,) = (file for file, content in before.items() if file.read_bytes() != content)
    assert "c" in changed.relative_to(products / SAMPLES).parts
    after = changed.read_bytes()
    both = zip(after, before[changed], strict=True)
    assert sum((one ^ other).bit_count() for one, other in both) == 1
    changed.write_bytes(before[changed])
    flip(products / SAMPLES)
    assert changed.read_bytes() == after


def test_failures_are_printed_with_their_seed_and_end_the_campaign(monkeypatch, capsys, tmp_path):
    def carry_out(seed, index, place):
        if seed == 2:
            raise ValueError("cannot be read")
        return "a trial", ["members: 2 lost"] if seed == 1 else []

    monkeypatch.setattr(interruptions, "KINDS", {"tried": Kind("--tried", 4, (0, 1, 2), carry_out)})
    with pytest.raises(SystemExit) as ended:
        interruptions.main(["--place", str(tmp_path)])
    assert ended.value.code
    said = capsys.readouterr().out.splitlines()
    assert "1: a trial: FAILED: members: 2 lost" in said
    assert "2: a trial: FAILED: ValueError: cannot be read" in said
    assert said[-1] == "| tried | 4 | 2 | 2 |"
    with pytest.raises(SystemExit) as ended:
        interruptions.main(["--place", str(tmp_path), "0", "9"])
    assert not ended.value.code
    assert capsys.readouterr().out.splitlines()[-1] == "| tried | 2 | 2 | 0 |"
