"""The command line of the studies of cost: `halocline study cost STUDY ...`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.lazily import lazily
from studies.declaring import add_command, add_of_config, add_output, load_run

if TYPE_CHECKING:
    from studies.declaring import Commands

SHAPE = "levels x rows x columns, as in 36x800x256"


def add_cost(studies: Commands) -> None:
    """Declare the studies of cost."""
    _add_benchmark(studies)
    _add_codec(studies)
    _add_adjustment(studies)
    _add_chains(studies)
    _add_writing(studies)
    _add_memory(studies)
    _add_members(studies)
    text = "throughput, memory and operations of training"
    add = add_of_config(studies, "training", lazily("studies.cost.training:run"), text)
    add("--grid", help=f"grid of random states, {SHAPE} (default: states of the experiment)")
    add("--steps", type=int, help="number of timed steps of each stage (default: 8)")
    _add_machine(add)
    text = "throughput of training and sampling with several processes"
    add = add_of_config(studies, "processes", lazily("studies.cost.processes:run"), text)
    add(
        "--processes",
        type=int,
        nargs="+",
        help="numbers of processes to launch (default: the current processes)",
    )
    add("--steps", type=int, help="number of timed steps of each stage (default: 8)")
    _add_machine(add)
    _add_check(studies)
    text = "scaling of operations and memory with the grid, counted without running"
    add = add_of_config(studies, "growth", lazily("studies.cost.growth:run"), text)
    add(
        "--grid", nargs="+", help=f"{SHAPE} (default: DINO at 1 and 1/4 degree, global 1/12 degree)"
    )
    add_output(add)


def _add_check(studies: Commands) -> None:
    text = "whether several processes do what one does; configs/accelerate/check.sh launches it"
    add = add_of_config(studies, "check", lazily("studies.cost.check:run"), text, load=load_run)
    add("--folder", type=Path, required=True, help="folder of the check")
    text = "numbers of processes of the whole check, 1 first"
    add("--counts", type=int, nargs="+", required=True, metavar="N", help=text)
    text = "samples of the trainings whose weights are compared (default: 256)"
    add("--samples", type=int, help=text)
    add("--steps", type=int, help="number of timed steps of each stage (default: 8)")
    add("--compare", action="store_true", help="measure nothing; compare what was measured")


def _add_writing(studies: Commands) -> None:
    text = "time and bytes of an archive's fields by level of compression"
    parser = add_command(studies, "writing", lazily("studies.cost.writing:run"), text)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="state archive")
    parser.add_argument("--states", type=int, help="states, spread over it (default: 12)")
    add_output(parser.add_argument)


def _add_memory(studies: Commands) -> None:
    text = "peak of resident memory of the stages that read a whole archive"
    add = add_of_config(studies, "memory", lazily("studies.cost.memory:run"), text)
    add("--grid", help=f"{SHAPE} (default: 36x2400x730, DINO at 1/12 degree)")
    add("--states", type=int, help="number of states of the archive, 6 or more (default: 8)")
    add("--folder", type=Path, help="new folder that keeps the files (default: they are removed)")
    _add_machine(add)


def _add_members(studies: Commands) -> None:
    text = "memory of sampling against the number of members written"
    find = lazily("configs.found:run_or_model")
    config = "YAML of the experiment, or folder of a model"
    add = add_of_config(
        studies, "members", lazily("studies.cost.members:run"), text, load=find, config=config
    )
    add("--members", type=int, metavar="N", help="number of states (default: 5000)")
    add("--steps", type=int, help="steps of each chain (default: sampling.steps)")
    text = "states drawn together (default: sampling.batch_size)"
    add("--batch-size", type=int, metavar="N", help=text)
    text = "with guidance (default: as configured)"
    add("--guided", action="store_true", help=text)
    add("--unguided", action="store_false", dest="guided", help="without guidance")
    text = "new folder that keeps the archive (default: it is removed)"
    add("--folder", type=Path, help=text)
    add("--figure", type=Path, help="PNG file to draw the result to")
    add_output(add)


def _add_benchmark(studies: Commands) -> None:
    add = add_of_config(
        studies,
        "benchmark",
        lazily("studies.cost.benchmark:run"),
        "cost of a state in latent and in data space",
        load=lazily("configs.loading:load_experiments"),
        config="YAML of each experiment",
        nargs="+",
    )
    add("--repeats", type=int, help="number of timed rounds (default: 3)")
    add("--training-steps", type=int, help="number of timed training steps, or 0 (default: 3)")
    add("--device", help="cpu or cuda (default: cpu)")
    add("--threads", type=int, help="number of torch threads")
    add("--output", type=Path, help="JSON file to add the result to (default: runs/benchmark.json)")


def _add_codec(studies: Commands) -> None:
    text = "time, memory and operations of an autoencoder"
    add = add_of_config(studies, "codec", lazily("studies.cost.codec:run"), text)
    add("--sea-level", action="store_true", help="include a channel for sea level")
    add("--closed", action="store_true", help="closed boundaries in x (default: periodic)")
    _add_timing(add)


def _add_adjustment(studies: Commands) -> None:
    text = "time of exact convective adjustment, by equation of state"
    parser = add_command(studies, "adjustment", lazily("studies.cost.adjustment:run"), text)
    _add_timing(parser.add_argument)


def _add_chains(studies: Commands) -> None:
    text = "time to sample a state, unguided and with each guidance method"
    add = add_of_config(studies, "guidance", lazily("studies.cost.guidance:run"), text)
    add(
        "--noise",
        type=float,
        help="standard deviation of the decoded temperature [K] (default: 0.25)",
    )
    add("--only", nargs="+", metavar="METHOD", help="methods to measure (default: all)")
    _add_timing(add)


def _add_timing(add: Callable[..., Any]) -> None:
    """Options of measurements on a grid."""
    add("--grid", required=True, help=SHAPE)
    add("--repeats", type=int, help="number of timed calls (default: 3)")
    add("--device", help="cpu or cuda (default: cpu)")
    _add_machine(add)


def _add_machine(add: Callable[..., Any]) -> None:
    add("--threads", type=int, help="number of torch threads")
    add_output(add)
