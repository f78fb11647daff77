"""Reads files of observations: text, Argo's profiles, CF's features and maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data.documents import reason
from data.errors import UserError
from data.observations import Quantity
from data.readers.cf import open_dataset
from data.readers.maps import read_maps
from data.readers.observed import Source
from data.readers.profiles_argo import is_argo, read_argo
from data.readers.profiles_cf import is_features, read_features
from data.readers.profiles_csv import read_csv
from data.readers.samples import ReadObservations, Samples, check_samples, table_of
from data.readers.teos10 import converted

_TEXT = (".csv", ".txt")


def read_observations(
    path: Path, *, equation_of_state: str, errors: Mapping[Quantity, float], convert: bool = False
) -> ReadObservations:
    """The observations of a file: `.csv` or `.txt`, else NetCDF or zarr.

    equation_of_state: of the model; it decides the kinds of temperature and salinity
    errors: standard deviation by quantity, for values whose file states none
    convert: convert in-situ, potential and conservative temperature, practical and absolute
        salinity, and pressure, by TEOS-10 with gsw

    Raises UserError for a file that cannot be read, holds no value, is of other kinds without
    `convert`, or has values without position or error or that sea water cannot have.
    """
    with _named_errors(path):
        parts = _samples(path, equation_of_state)
        for part in parts:
            check_samples(part, path=path)
        usable = [
            converted(part, equation=equation_of_state, convert=convert, path=path)
            for part in parts
        ]
        return table_of(usable, path=path, errors=errors)


def _samples(path: Path, equation: str) -> list[Samples]:
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a file of observations; check the path.")
    if path.suffix.lower() in _TEXT:
        return read_csv(path)
    with open_dataset(path) as dataset:
        if is_argo(dataset):
            return read_argo(dataset, path)
        source = Source(dataset, path, equation)
        return read_features(source) if is_features(dataset) else read_maps(source)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Every exception is a `UserError` that names the file."""
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would never end
        raise UserError(f"{path} is not a file: expected observations there.")
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as observations ({type(error).__name__}: {reason(error)}): "
            "expected CSV, Argo profiles, or CF features or maps; check the file."
        ) from error
