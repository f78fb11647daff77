"""Verification of products on disk: archives, codecs, models, checkpoints and run directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.archive.format import ZIP_SUFFIX
from data.archive.identity import CONTENT
from data.archive.reader import StateArchive
from data.checksums import CHECKSUMS, check_folder
from data.errors import UserError
from data.tensor_sums import load_tensors
from latent_diffusion.sample import check_members

WHOLE = "whole"
UNKNOWN = "holds no checksums: made by version 0.1.0, or they were removed"
CONFIGURATIONS = ("model_index.json", "config.json", "identity.json")


def verify(path: Path) -> None:
    """Read everything that `path` holds, compare it with its checksums and print the outcome.

    path: an archive, the folder of a codec, a model or a checkpoint, or a run directory with any of
    these. Raises UserError if something is damaged, or if there is nothing to verify.
    """
    found = list(products(path))
    if not found:
        raise UserError(
            f"{path} holds nothing to verify; give a state archive, the folder of a codec or a "
            "model, or a run directory."
        )
    outcomes = {product: outcome(product) for product in found}
    for product, text in outcomes.items():
        print(f"{product}: {text}")
    damaged = [product for product, text in outcomes.items() if text not in (WHOLE, UNKNOWN)]
    if damaged:
        raise UserError(
            f"{len(damaged)} of {len(found)} products at {path} are damaged; see the lines above."
        )


def products(path: Path) -> Iterator[Path]:
    """Every product at or below `path`: archives, folders with checksums, files of tensors."""
    if _is_product(path):
        yield path
    elif path.is_dir():
        for below in sorted(path.iterdir()):
            yield from products(below)


def outcome(product: Path) -> str:
    """What the verification of one product says: `WHOLE`, `UNKNOWN`, or how it is damaged."""
    try:
        if _is_archive(product):
            return _outcome_of_archive(StateArchive.open(product))
        elif product.is_file():
            load_tensors(product)
        elif not check_folder(product):
            return UNKNOWN
    except UserError as error:
        return str(error)
    return WHOLE


def _outcome_of_archive(archive: StateArchive) -> str:
    archive.verify()
    check_members(archive)
    return WHOLE if CONTENT in archive.attributes else UNKNOWN


def _is_product(path: Path) -> bool:
    names = (CHECKSUMS, *CONFIGURATIONS)
    return (
        _is_archive(path)
        or (path.is_file() and path.suffix == ".safetensors")
        or any((path / name).is_file() for name in names)
    )


def _is_archive(path: Path) -> bool:
    if path.is_file():
        return path.name.endswith(ZIP_SUFFIX)
    return path.name.endswith(".zarr") or (path / "zarr.json").is_file()
