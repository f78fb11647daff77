"""Two processes, as a scheduler starts them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.jobs import ROOT

TIMEOUT = 300  # seconds
StartTwo = Callable[..., list[int]]


@pytest.fixture
def start_two(launch_environment: dict[str, str], tmp_path: Path) -> Iterator[StartTwo]:
    """Starts two processes as srun does, without a launcher: `start_two("-c", "...")`.

    Returns their exit codes. What they write to standard error is in `errors-RANK` of `tmp_path`.
    """
    started: list[subprocess.Popen] = []

    def start(*words: str) -> list[int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        errors = {
            rank: stack.enter_context((tmp_path / f"errors-{rank}").open("w")) for rank in "01"
        }
        jobs = [
            subprocess.Popen(
                [sys.executable, *words],
                env=launch_environment | shared | {"RANK": rank, "LOCAL_RANK": rank},
                cwd=ROOT,
                stderr=errors[rank],
            )
            for rank in "01"
        ]
        started.extend(jobs)
        return [job.wait(timeout=TIMEOUT) for job in jobs]

    with ExitStack() as stack:
        yield start
    for job in started:
        job.kill()
