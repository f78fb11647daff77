"""The commands that draw states, `pack`, and the verdict for the terminal.

Imports are inside the functions, so that `halocline --help` is fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from configs.layout import Layout
    from configs.run import Run
    from configs.translation import How

MEGABYTE = 1e6


def add_pack_options(add: Callable[..., Any]) -> None:
    """Declare the options of `halocline pack`, the keywords of `pack`."""
    text = "folder to write (default: NAME_release in the present folder)"
    add("--output", type=Path, metavar="FOLDER", help=text)
    text = "precision of the denoiser's weights (default: float16)"
    add("--weights", choices=("float8", "float16", "bfloat16", "float32"), help=text)
    text = "leave the encoder out, which drawing states does not need"
    add("--without-encoder", action="store_true", help=text)
    text = (
        "keep the leading N patterns of the Gaussian (default: all); changes states, see the card"
    )
    add("--patterns", type=int, metavar="N", help=text)
    text = "states drawn to measure what smaller weights change (default: 4; 0: none)"
    add("--compared", type=int, metavar="N", help=text)
    text = "licence of the weights, such as apache-2.0 (default: not stated)"
    add("--licence", metavar="SPDX", help=text)
    text = "where the training data come from, and their licence (default: not stated)"
    add("--about-data", metavar="TEXT", help=text)
    add("--model-version", metavar="TEXT", help="version of the model (default: 1)")


def pack(
    run: Run,
    *,
    output: Path | None = None,
    weights: str = "float16",
    without_encoder: bool = False,
    patterns: int | None = None,
    licence: str | None = None,
    about_data: str | None = None,
    model_version: str | None = None,
    **options: int,
) -> None:
    """Make a release folder of a run's model and print its size and what rounding changes."""
    from data.locks import exclusive
    from evaluation.model_card import Statements, stated
    from evaluation.packing import Size, pack, size_of

    folder = output or Path(f"{run.settings.name}_release")
    size = Size(weights, encoder=not without_encoder, patterns=patterns)
    given = {"licence": licence, "about_data": about_data, "version": model_version}
    statements = Statements(**stated(given))
    with exclusive(folder, archive=True):
        release = pack(run, output=folder, size=size, statements=statements, **options)
    print(f"wrote {folder}, {size_of(folder) / MEGABYTE:.1f} MB")
    change = release["change"]
    if change:
        rms, largest, spread = (
            f"{change[f'temperature_{of}_K']:.2g} K" for of in ("rms", "largest", "spread")
        )
        print(
            f"{change['states']} states of the same noise differ by {rms} (rms; at most {largest}) "
            f"from those of the run, and by {spread} from each other"
        )
    if not release["fit"]:
        print(
            f"halocline: warning: the states of {folder} are not fit to start a model; its card "
            "says so and why",
            file=sys.stderr,
        )


def print_verdict(run: Run) -> None:
    """Print whether the run's product is fit to start a model, and why."""
    from evaluation.verdict import as_text, read_verdict

    verdict = read_verdict(run.results)
    if verdict:
        print(as_text(verdict))


def sample(
    layout: Layout,
    *,
    output: Path | None = None,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    certain: bool = False,
    overwrite: bool = False,
) -> None:
    """Generate an ensemble of states."""
    from configs.found import check_conditions, opened

    options: dict[str, Any] = {"at": at, "extrapolate": extrapolate, "certain": certain}
    options["overwrite"] = overwrite
    if any(options.values()) and not output:
        given = ", ".join(f"--{name}" for name, value in options.items() if value)
        raise UserError(f"{given} needs --output: the archive to write")
    check_conditions(layout, at)
    run = opened(layout)

    from configs import stages
    from training.launch import one_job

    written = output or run.samples("guided_adjusted").parent
    remarks: list[str] = []
    with one_job(output or run.directory, archive=output is not None):
        if output:
            remarks = stages.sample(run, output=output, **options)
        else:
            stages.sample_rows(run)
    print("\n".join([f"wrote {written}", *remarks]))


def sensitivity(
    layout: Layout,
    *,
    to: Sequence[str],
    at: Sequence[str] = (),
    output: Path | None = None,
    extrapolate: bool = False,
) -> None:
    """Draw pairs of states before and after a change of conditions, and their difference."""
    from configs.found import check_conditions, opened

    for texts in (at, to):
        check_conditions(layout, texts)
    run = opened(layout)

    from evaluation.sensitivity import sensitivity as compare
    from training.launch import one_job

    folder = output or run.directory / "sensitivity"
    with one_job(output or run.directory):
        written = compare(run, at=at, to=to, output=folder, extrapolate=extrapolate)
    print(f"wrote {' and '.join(map(str, written))}")


def assimilate(
    run: Run,
    *,
    observations: Sequence[Path],
    members: int | None = None,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    withhold: float = 0.0,
    convert: bool = False,
    leave_out: bool = False,
    output: Path | None = None,
) -> None:
    """Draw states given observations, and report how far they are from these."""
    from evaluation.assimilation import assimilate as draw_and_report
    from training.launch import one_job

    folder = output or run.directory / "assimilation"
    if members is not None:
        run = run.with_members(members)
    with one_job(folder):
        report = draw_and_report(
            run,
            files=observations,
            output=folder,
            at=at,
            extrapolate=extrapolate,
            withhold=withhold,
            convert=convert,
            leave_out=leave_out,
        )
    print(f"wrote {folder / 'states.zarr'} and {report}")


def translate(
    run: Run,
    *,
    source: Sequence[str],
    settings: Sequence[str] = (),
    by: How | None = None,
    state: int = -1,
    maps: bool | None = None,
    noise: float | None = None,
    members: int | None = None,
    at: Sequence[str] = (),
    extrapolate: bool = False,
    convert: bool = False,
    output: Path | None = None,
) -> None:
    """Draw states of the run's model from a state of another, and report what was kept."""
    from configs.foreign import foreign_archive
    from configs.translation import Translation
    from evaluation.translation import translate as draw_and_report
    from training.launch import main_first, one_job

    folder = output or run.directory / "translation"
    for file in source:
        if Path(file).expanduser().resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"{file} lies in {folder}, whose states are replaced: give another --output"
            )
    if members is not None:
        run = run.with_members(members)
    with one_job(folder):
        archive = main_first(
            lambda: foreign_archive(source, settings=settings, output=folder / "source.zarr")
        )
        translation = Translation.of(run, archive, state=state, how=by, maps=maps, convert=convert)
        report = draw_and_report(
            translation,
            output=folder,
            noise=noise,
            at=at,
            extrapolate=extrapolate,
            name=", ".join(Path(file).name for file in source),
        )
    print(f"wrote {folder / 'states.zarr'} and {report}")
