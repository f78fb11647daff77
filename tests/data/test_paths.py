"""Paths as users write them."""

from __future__ import annotations

import pytest

from data.errors import UserError
from data.paths import matching, refuse_url


@pytest.mark.parametrize("url", ["s3://bucket/x.zarr", "https://example.org/thetao.nc"])
def test_a_url_is_refused_by_name(url):
    with pytest.raises(UserError, match=f"^{url} is a URL, and only local files are read"):
        refuse_url(url)


def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(tmp_path):
    folder = tmp_path / "run[1]"
    folder.mkdir()
    for name in ("b.nc", "a.nc"):
        (folder / name).touch()
    assert [path.name for path in matching(folder / "*.nc")] == ["a.nc", "b.nc"]
    refuse_url(folder / "*.nc")
