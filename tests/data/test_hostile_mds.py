"""MITgcm's descriptions from anywhere: read in time and memory in proportion to the files."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from data.errors import UserError, file_errors
from data.readers.mds import MdsFolder

META = """ nDims = [ 2 ];
 dimList = [ 8, 1, 8, 6, 1, 6 ];
 dataprec = [ 'float32' ];
 nrecords = [ 1 ];
"""


@pytest.fixture
def folder(tmp_path):
    np.zeros((6, 8), ">f4").tofile(tmp_path / "Depth.data")
    (tmp_path / "Depth.meta").write_text(META)
    return tmp_path


def test_the_description_is_read(folder):
    assert MdsFolder(folder).constant("Depth").read().shape == (6, 8)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "a=[" * 300_000,
        "a = " + " " * 10**6,
        "fldList = {" + "'" * 10**6 + "};",
        "[" * 10**6,
        META.replace("8, 1, 8", "1" + "0" * 30 + ", 1, 8"),
        META.replace("8, 1, 8", "1" + "0" * 10 + ", 1, 8"),
        META.replace("8, 1, 8", "1" + "0" * 12 + ", 1, 1" + "0" * 12),
        META.replace("8, 1, 8", "8, 9, 8"),
        META.replace("float32", "object"),
        META.replace("float32", "float16"),
        META.replace("nrecords = [ 1 ]", "nrecords = [ " + "9" * 10_000 + " ]"),
        META.replace("nrecords = [ 1 ]", "nrecords = [ -1 ]"),
        "",
    ],
)
def test_damaged_descriptions_are_refused_at_once(folder, text):
    (folder / "Depth.meta").write_text(text)
    start = time.process_time()
    with pytest.raises(UserError) as error:
        MdsFolder(folder).constant("Depth").read()
    assert time.process_time() - start < 2
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("name", ["Depth.meta", "Depth.data"])
def test_a_pipe_does_not_wait(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=name):
        MdsFolder(folder).constant("Depth").read()


def test_a_pipe_in_place_of_a_netcdf_file_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a.nc")
    with pytest.raises(UserError, match="not a file"), file_errors(tmp_path / "a.nc"):
        (tmp_path / "a.nc").read_bytes()
