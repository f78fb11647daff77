"""One job at a time: who holds a lock is told, and a killed job holds nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from data.errors import UserError
from data.locks import LOCK, exclusive

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from data.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
DEAD = 2**22 + 1  # above the highest number of a process


@pytest.fixture
def other_job(tmp_path):
    """A process that holds the lock on `tmp_path / "run"`."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    job = subprocess.Popen(
        words, cwd=ROOT, env=os.environ | {"SLURM_JOB_ID": "77"}, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "held\n"
    yield job
    job.kill()
    job.wait()


def test_a_second_job_is_told_who_holds_the_lock(tmp_path, other_job):
    holder = rf"process {other_job.pid} on {socket.gethostname()}, Slurm job 77 \(since 2\d{{3}}-"
    refused = pytest.raises(UserError, match=rf"run is used by {holder}.*wait .*or end it")
    with refused, exclusive(tmp_path / "run"):
        pass


def test_a_second_job_waits_for_the_first_to_say_who_it_is(tmp_path):
    """The first has the lock, but its number is not in the file yet."""
    lock = tmp_path / LOCK
    with lock.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        signed = threading.Timer(0.1, lock.write_text, [json.dumps({"host": "node7", "pid": 4711})])
        signed.start()
        with (
            pytest.raises(UserError, match="is used by process 4711 on node7"),
            exclusive(tmp_path),
        ):
            pass
        signed.join()


def test_a_killed_job_holds_nothing(tmp_path, other_job):
    other_job.send_signal(signal.SIGKILL)
    other_job.wait()
    assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == other_job.pid
    with warnings.catch_warnings(action="error"), exclusive(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_file_left_by_another_host_is_a_warning(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"host": "node7", "pid": 12}))
    warned = pytest.warns(UserWarning, match=r"left by process 12 on node7.* end one job")
    with warned, exclusive(tmp_path):
        pass


def test_the_lock_of_an_archive_is_beside_it(tmp_path):
    path = tmp_path / "new" / "states.zarr"
    with exclusive(path, archive=True):
        assert [found.name for found in path.parent.iterdir()] == ["states.zarr.lock"]
        refused = pytest.raises(UserError, match=rf"{path} is used by process {os.getpid()} ")
        with refused, exclusive(path, archive=True):
            pass
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_its_former_holder_removes_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    lock, removed = fcntl.flock, []

    def late(file, how):
        if not removed:
            removed.append((tmp_path / LOCK).unlink())
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with exclusive(tmp_path), pytest.raises(UserError), exclusive(tmp_path):
        pass


@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt])
def test_a_job_that_fails_gives_its_lock_back(tmp_path, error):
    with pytest.raises(error), exclusive(tmp_path):
        raise error
    with exclusive(tmp_path):
        pass


def test_what_killed_jobs_left_is_removed_and_nothing_else(tmp_path):
    here = socket.gethostname()
    left = [
        tmp_path / f"metrics.json.{here}-{DEAD}.partial",
        tmp_path / "model.node7-12.partial" / "unet",
        tmp_path / "samples" / f"guided.zarr.{here}-{DEAD}.partial" / "c",
    ]
    kept = [
        tmp_path / "notes.partial",
        tmp_path / f"report.html.{here}-{os.getppid()}.partial",
        tmp_path / "checkpoint-000000008-mine" / "unet",
    ]
    for path in [*left, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    with exclusive(tmp_path):
        pass
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert list((tmp_path / "samples").iterdir()) == []


def test_a_file_system_without_locks_is_a_warning_and_other_hosts_may_live(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    unknown = tmp_path / "model.node7-12.partial"
    unknown.write_text("")
    with pytest.warns(UserWarning, match=r"no locks \(No locks available\)"), exclusive(tmp_path):
        pass
    assert unknown.exists()
