"""What the fault campaign damages can be made, and is accepted when it is whole."""

from __future__ import annotations

import pytest

from tests.faults.subjects import SUBJECTS


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_whole_subject_is_accepted(name, tmp_path):
    subject = SUBJECTS[name]
    assert subject.read(subject.make(tmp_path))
