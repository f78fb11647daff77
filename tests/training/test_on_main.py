"""What the main process does alone, in one process and in two."""

from __future__ import annotations

import json

import pytest

from data.errors import Stopped, UserError
from training.launch import (
    launched_processes,
    main_first,
    of_main_process,
    on_main,
    require_shared_folder,
)

# Each process writes what it gets of work that succeeds and of work that fails.
BOTH = """
import json, sys
from pathlib import Path
from tests.training.test_on_main import outcomes
from training.launch import launched_processes
folder = Path(sys.argv[1])
rank = launched_processes().process_index
(folder / f"outcomes-{rank}").write_text(json.dumps(outcomes(folder)))
"""

OF_THE_FIRST = {
    "processes": 1,
    "together in vain": None,
    "nested": "nested",
    "shared": "shared",
    "first": "made",
    "mistake": "UserError: a mistake",
    "bug": "ValueError: a bug",
    "signal": "Stopped: SIGTERM",
    "after": True,
}


def outcomes(folder):
    """What this process gets, by the kind of work."""

    def outcome(call, work):
        try:
            return call(work)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"

    def fail(error):
        raise error

    made = folder / "made"
    work = {
        "processes": (on_main, lambda: launched_processes().num_processes),
        "together in vain": (on_main, lambda: require_shared_folder(folder)),
        "nested": (on_main, lambda: on_main(lambda: "nested")),
        "shared": (on_main, lambda: of_main_process("shared")),
        "first": (main_first, lambda: "found" if made.exists() else made.touch() or "made"),
        "mistake": (on_main, lambda: fail(UserError("a mistake"))),
        "bug": (on_main, lambda: fail(ValueError("a bug"))),
        "signal": (on_main, lambda: fail(Stopped("SIGTERM"))),
        "after": (on_main, lambda: launched_processes().is_main_process),
    }
    return {name: outcome(*given) for name, given in work.items()}


def test_one_process_works_as_without(tmp_path):
    assert outcomes(tmp_path) == OF_THE_FIRST


@pytest.mark.slow
def test_the_second_of_two_waits_and_learns_of_failures(start_two, tmp_path):
    assert start_two("-c", BOTH, str(tmp_path)) == [0, 0]
    first, second = (json.loads((tmp_path / f"outcomes-{rank}").read_text()) for rank in "01")
    assert first == OF_THE_FIRST
    assert second == {
        "processes": None,
        "together in vain": None,
        "nested": None,
        "shared": None,
        "first": "found",
        "mistake": "UserError: a mistake",
        "bug": "UserError: the first process ended with ValueError; see its message",
        "signal": "Stopped: SIGTERM",
        "after": None,
    }
