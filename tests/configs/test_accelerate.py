"""Files for `accelerate launch`: what accelerate reads in them, and what it then starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.utils import DistributedType

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "accelerate"
TIMEOUT = 300  # seconds

# Each process adds a line about itself and the others.
CHECK = """
import sys
import torch
from training.launch import launched_processes
processes = launched_processes()
backend = torch.distributed.get_backend()
with open(f"{sys.argv[1]}/{processes.process_index}", "w") as file:
    print(processes.num_processes, processes.device.type, backend, file=file)
processes.wait_for_everyone()
torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("name", "machines", "processes"),
    [("two_cpu_processes", 1, 2), ("one_node", 1, 4), ("several_nodes", 2, -1)],
)
def test_a_file_says_what_is_meant(name, machines, processes):
    settings = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert isinstance(settings, ClusterConfig)
    # What torchrun starts and DDP wraps; -1 processes must be given on the command line.
    assert settings.distributed_type == DistributedType.MULTI_GPU
    assert (settings.num_machines, settings.num_processes) == (machines, processes)
    assert settings.use_cpu == (name == "two_cpu_processes")
    assert settings.mixed_precision is None, "the stages choose their own"


def test_every_file_is_checked():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {
        *("two_cpu_processes", "one_node", "several_nodes")
    }


@pytest.mark.slow
def test_launchers_of_two_nodes_find_each_other(tmp_path, launch_environment):
    """Both on this machine, with one process each, on the CPU."""
    script = tmp_path / "check.py"
    script.write_text(CHECK)
    file = str(FOLDER / "several_nodes.yaml")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", file]
    port = str(20000 + os.getpid() % 10000)
    shared = ["--num_machines", "2", "--num_processes", "2", "--main_process_ip", "127.0.0.1"]
    words = [*launcher, *shared, "--main_process_port", port, "--machine_rank"]
    nodes = [
        subprocess.Popen(
            [*words, rank, str(script), str(tmp_path)],
            env=launch_environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        errors = [node.communicate(timeout=TIMEOUT)[1] for node in nodes]
    finally:
        for node in nodes:
            node.terminate()
    assert [node.returncode for node in nodes] == [0, 0], errors
    said = [(tmp_path / rank).read_text().split() for rank in ("0", "1")]
    assert said == [["2", "cpu", "gloo"]] * 2


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    """The environment of a job on two nodes of four GPUs, its commands pretended.

    srun starts the last process only; `EXIT_CODE` is what it ends with.
    """
    variables = "RANK LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT OMP_NUM_THREADS"
    commands = {
        "srun": 'while [[ $1 == --* ]]; do shift; done; SLURM_PROCID=7 SLURM_LOCALID=3 "$@"',
        "scontrol": '[[ $1 == requeue ]] && echo "$@" || { echo node7; echo node8; }',
        "halocline": f"""
            for name in {variables}; do echo -n "${{!name:--}} "; done
            echo "$@"
            exit $EXIT_CODE""",
    }
    for name, body in commands.items():
        command = tmp_path / name
        command.write_text(f"#!/bin/bash\n{body}\n")
        command.chmod(0o755)
    job = {"NTASKS": 8, "CPUS_PER_TASK": 6, "JOB_ID": 123456}
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "EXIT_CODE": "0",
        "SLURM_JOB_NODELIST": "node[7-8]",
        **{f"SLURM_{name}": str(value) for name, value in job.items()},
    }


def _submit(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["bash", str(FOLDER / "slurm.sh"), "my.yaml", "--sampling.members", "8"]
    return subprocess.run(words, env=environment, capture_output=True, text=True)


def test_a_slurm_job_starts_each_stage_on_all_gpus(slurm):
    done = _submit(slurm)
    assert done.returncode == 0, done.stderr
    *stages, last = done.stdout.splitlines()
    assert last == "- - - node7 23456 6 evaluate my.yaml --sampling.members 8"
    assert stages == [
        f"7 3 8 node7 23456 6 {stage} my.yaml --sampling.members 8"
        for stage in ("train autoencoder", "train diffusion", "sample")
    ]


@pytest.mark.parametrize(("code", "requeued"), [(75, ["requeue 123456"]), (1, [])])
def test_a_slurm_job_that_was_stopped_queues_itself_again(slurm, code, requeued):
    done = _submit(slurm | {"EXIT_CODE": str(code)})
    assert done.returncode == code
    first, *others = done.stdout.splitlines()
    assert "train autoencoder" in first and others == requeued
