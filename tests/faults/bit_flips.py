"""One flipped bit in a product, and whether it is found before the product is used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from configs.loading import load_experiment
from configs.run import Run
from configs.stages import sample_rows, train_codec, train_denoiser
from configs.verification import verify
from data.checksums import PROSE
from tests.faults.campaign import trial
from tests.faults.commands import ARCHIVE, CONFIG, Uninterrupted
from tests.faults.damage import flip_bit
from tests.faults.subjects import Subject, digest
from training.records import checkpoints_in


@dataclass(frozen=True)
class Product:
    """A kind of product.

    path: in the folder of an experiment
    use: does what a stage does with it, as if the stage was still to do, and returns a digest
    chunks: whether it is an archive, of which only chunks of numbers are damaged
    """

    path: Callable[[Path], Path]
    use: Callable[[Path], str]
    chunks: bool = False


def _run(folder: Path) -> Run:
    overrides = ["--run_directory", str(folder / "run"), "--data.archive", str(folder / ARCHIVE)]
    return Run(load_experiment(folder / CONFIG, overrides))


def _without(folder: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(folder / "run" / name, ignore_errors=True)


def _training_of_codec(folder: Path) -> str:
    _without(folder, "autoencoder", "diffusion", "model")
    (folder / "run" / "archive.json").unlink()
    return _resumed_training_of_codec(folder)


def _resumed_training_of_codec(folder: Path) -> str:
    _without(folder, "autoencoder/codec")
    run = _run(folder)
    train_codec(run)
    return digest(*run.codec().state_dict().values())


def _training_of_denoiser(folder: Path) -> str:
    _without(folder, "model", "samples")
    for checkpoint in checkpoints_in(folder / "run" / "diffusion"):
        shutil.rmtree(checkpoint)
    run = _run(folder)
    train_denoiser(run)
    return digest(*run.pipeline().unet.state_dict().values())


def _encoding(folder: Path) -> str:
    (folder / "run" / "diffusion" / "latents.safetensors").unlink()
    return _training_of_denoiser(folder)


def _sampling(folder: Path) -> str:
    _without(folder, "samples")
    run = _run(folder)
    sample_rows(run)
    return "drawn"


def _export(folder: Path) -> str:
    from integration.commands import export

    export(_run(folder), member=0)
    return "exported"


def _last_checkpoint(folder: Path) -> Path:
    return checkpoints_in(folder / "run" / "autoencoder")[-1]


PRODUCTS = {
    "archive chunk": Product(lambda folder: folder / ARCHIVE, _training_of_codec, chunks=True),
    "codec": Product(lambda folder: folder / "run" / "autoencoder" / "codec", _encoding),
    "latents": Product(
        lambda folder: folder / "run" / "diffusion" / "latents.safetensors", _training_of_denoiser
    ),
    "checkpoint": Product(_last_checkpoint, _resumed_training_of_codec),
    "model": Product(lambda folder: folder / "run" / "model", _sampling),
    "samples": Product(
        lambda folder: folder / "run" / "samples" / "guided_adjusted.zarr", _export, chunks=True
    ),
}


@dataclass(frozen=True)
class Flip:
    """One trial: a product, and the seed of which bit is flipped."""

    name: str
    seed: int

    @classmethod
    def of(cls, seed: int, index: int) -> Flip:
        """The trial of a seed; `index` of all of them goes through the products in turn."""
        return cls([*PRODUCTS][index % len(PRODUCTS)], seed)

    def __str__(self) -> str:
        return f"a bit of the {self.name}"

    def __call__(self, product: Path) -> str:
        """Flip the bit; in words, where."""
        draw = Random(f"bit flip {self.seed}")
        files = [file for file in [product, *sorted(product.rglob("*"))] if self._counts(file)]
        file = draw.choice(files)
        content = bytearray(file.read_bytes())
        flip_bit(content, draw)
        file.write_bytes(content)
        return f"a bit of {file.relative_to(product.parent)}"

    def _counts(self, file: Path) -> bool:
        if PRODUCTS[self.name].chunks and "c" not in file.parts:
            return False
        return file.is_file() and file.suffix != PROSE


def flipped(flip: Flip, whole: Uninterrupted) -> list[str]:
    """Carry out a trial; in words, what was not as it should be."""
    product = PRODUCTS[flip.name]
    relative = str(product.path(whole.folder).relative_to(whole.folder))
    depth = len(Path(relative).parts)
    use = Subject(1, lambda folder: folder, lambda path: product.use(path.parents[depth - 1]))
    look = Subject(1, lambda folder: folder, _verified)
    where, used = trial(use, whole.folder, relative, harm=flip)
    if used.startswith("refused"):
        return []
    _, seen = trial(look, whole.folder, relative, harm=flip)
    if used.startswith("accepted") and seen.startswith("refused"):
        return []
    return [f"{where}: the stage that uses it: {used}; halocline verify: {seen}"]


def _verified(path: Path) -> str:
    verify(path)
    return "whole"
