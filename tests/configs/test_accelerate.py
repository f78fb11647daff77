"""Files for `accelerate launch`: what accelerate reads in them, and what it then starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import launch_command_parser
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
    """The environment of a job on the second of two nodes of four GPUs, its commands pretended."""
    commands = {
        "srun": 'shift; exec "$@"',
        "scontrol": "echo node7; echo node8",
        "accelerate": 'echo "$OMP_NUM_THREADS" "$@"',
        "halocline": 'echo halocline "$@"',
    }
    for name, body in commands.items():
        command = tmp_path / name
        command.write_text(f"#!/bin/bash\n{body}\n")
        command.chmod(0o755)
    job = {"NNODES": 2, "GPUS_ON_NODE": 4, "CPUS_PER_TASK": 32, "NODEID": 1, "JOB_ID": 123456}
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[7-8]",
        **{f"SLURM_{name}": str(value) for name, value in job.items()},
    }


def test_a_slurm_job_launches_each_stage_on_all_nodes(slurm):
    words = ["bash", str(FOLDER / "slurm.sh"), "my.yaml", "--sampling.members", "8"]
    done = subprocess.run(words, env=slurm, capture_output=True, text=True, check=True)
    *stages, last = done.stdout.splitlines()
    assert last == "halocline evaluate my.yaml --sampling.members 8"
    launched = [stage.split() for stage in stages]
    assert [launched[k][0] for k in range(3)] == ["8"] * 3, "threads of a process"
    options = [launch_command_parser().parse_args(words[2:]) for words in launched]
    assert {option.training_script for option in options} == {"halocline"}
    stages = (["train", "autoencoder"], ["train", "diffusion"], ["sample"])
    for option, stage in zip(options, stages, strict=True):
        assert (option.num_machines, option.num_processes, option.machine_rank) == (2, 8, 1)
        assert (option.main_process_ip, option.main_process_port) == ("node7", 23456)
        assert (FOLDER.parents[1] / option.config_file).is_file()
        assert option.training_script_args == [*stage, "my.yaml", "--sampling.members", "8"]
