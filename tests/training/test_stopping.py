"""Signals end a command where the next one goes on, and orphans end by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import Stopped, user_errors_in_one_sentence
from tests.jobs import ROOT, parent_of, wait_until
from training.stopping import (
    LAUNCHED,
    stop_requested,
    stopping_on_signals,
    stops_deferred,
)

SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_with_the_exit_code_to_continue(number, capsys):
    ended = pytest.raises(SystemExit, match="75")
    with ended, user_errors_in_one_sentence(), stopping_on_signals():
        signal.raise_signal(number)
        pytest.fail("went on")
    said = capsys.readouterr().err
    assert said == f"halocline: stopped by {number.name}; run the same command to continue\n"


def test_work_with_an_end_of_its_own_is_not_interrupted():
    done = []
    with pytest.raises(Stopped, match="SIGUSR1"), stopping_on_signals():
        with stops_deferred():
            assert not stop_requested()
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)  # impatience does not spoil it
            assert stop_requested()
            done.append("saved")
        done.append("not stopped")
    assert done == ["saved"]


def test_after_a_command_signals_mean_what_they_did():
    before = [signal.getsignal(number) for number in SIGNALS]
    with stopping_on_signals():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


ENDS = """
import signal, sys
from data.errors import Stopped, user_errors_in_one_sentence
from training.stopping import stopping_on_signals
try:
    with user_errors_in_one_sentence(), stopping_on_signals(last=True):
        if sys.argv[1] == "stopped":
            signal.raise_signal(signal.SIGUSR1)
finally:
    signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize(("how", "code"), [("done", 0), ("stopped", 75)])
def test_a_signal_while_the_process_ends_does_not_change_how_it_ended(how, code):
    assert subprocess.run([sys.executable, "-c", ENDS, how], cwd=ROOT).returncode == code


WORK = """
import sys, time
from pathlib import Path
from data.errors import user_errors_in_one_sentence
from training import stopping
stopping.POLL_SECONDS, stopping.GRACE_SECONDS = 0.1, 0.5
with user_errors_in_one_sentence(), stopping.stopping_on_signals():
    Path(sys.argv[1]).touch()
    try:
        if sys.argv[2] == "waits":  # for processes that have ended
            with stopping.stops_deferred():
                time.sleep(600)
        time.sleep(600)
    finally:
        Path(sys.argv[1] + ".saved").touch()
"""
LAUNCH = """
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
print(worker.pid, flush=True)
worker.wait()
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("kind", "saves"), [("works", True), ("waits", False)])
def test_a_worker_ends_with_its_launcher(tmp_path, kind, saves):
    begun = tmp_path / "begun"
    words = [sys.executable, "-c", LAUNCH, WORK, str(begun), kind]
    environment = os.environ | {LAUNCHED: "1"}
    launcher = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    worker = int(launcher.stdout.readline())
    wait_until(begun.exists)
    launcher.kill()
    launcher.wait()
    wait_until(lambda: parent_of(worker) is None)
    assert Path(f"{begun}.saved").exists() == saves


STUCK = """
import ctypes
from training import stopping
stopping.GRACE_SECONDS = 0.5
with stopping.stopping_on_signals():
    mutex = ctypes.create_string_buffer(64)
    for word in ("begun", "never said"):  # a lock that is taken twice, as one of a library
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
        print(word, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of zeros is one of Linux")
def test_a_process_that_waits_in_compiled_code_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.3)  # until it is within the second call
        process.send_signal(signal.SIGUSR1)
        try:
            assert process.wait(timeout=60) == 75
        finally:
            process.kill()
