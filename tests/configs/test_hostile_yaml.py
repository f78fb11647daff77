"""YAML from anywhere: whatever it holds, one short sentence within a second, and nothing run."""

from __future__ import annotations

import os
import time

import pytest

from configs.loading import load_experiment
from data.errors import UserError


def sentence(tiny_config, text: str) -> str:
    path = tiny_config.with_name("hostile.yaml")
    path.write_text(text)
    return refusal(path)


def refusal(path, *overrides: str) -> str:
    start = time.process_time()
    with pytest.raises(UserError) as error:
        load_experiment(path, overrides)
    assert time.process_time() - start < 5
    message = str(error.value)
    assert "\n" not in message and len(message) < 500, message
    assert "Input should be" not in message
    return message


def laughs(depth: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, depth)]
    return "\n".join([*lines, f"name: *l{depth - 1}"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (laughs(3), "name: expected text, found [[[...]"),
        (laughs(30), "aliases"),
        ("name: &a [*a]", "contains itself"),
        ("[" * 900, "nested"),
        ("name: " + "{a: " * 200 + "1" + "}" * 200, "nested"),
        ("x: [" * 3000, "nested"),
        ("name: a\nname: b", "the key name is given twice in line 2"),
        ("name: " + "9" * 10_000, "below 2^63"),
        ("seed: 1180591620717411303424", "below 2^63"),
        ("name: 2025-99-99", "not valid YAML"),
        ("name: !!python/object/apply:os.system [echo]", "could not determine a constructor"),
        ("name: " + "a" * 2**21, "characters"),
        ("? [a, b]\n: 1", "not valid YAML"),
        ("- 1\n- 2", "no settings"),
        ("\x00", "not valid YAML"),
    ],
)
def test_texts_are_refused_in_one_sentence(tiny_config, text, words):
    assert words in sentence(tiny_config, text)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("diffusion.training.learning_rate", ".inf", "expected a finite number, found inf"),
        ("diffusion.training.learning_rate", ".nan", "expected a finite number"),
        ("diffusion.training.learning_rate", "1e999", "expected a finite number"),
        ("sampling.members", str(10**30), "below 2^63"),
        ("sampling.members", str(10**12), "expected 1e+06 or less"),
        ("sampling.seed", str(2**70), "below 2^63"),
        ("sampling.steps", "4.5", "expected a whole number, found 4.5"),
        ("sampling.scheduler", "[1, [2, [3, [4]]]]", "expected text"),
        ("diffusion.channels", "abc", "expected a list such as [1, 2], found 'abc'"),
        ("diffusion.channels", "[]", "expected at least 1 entries"),
        ("diffusion.channels", "[12]", "expected a multiple of 8"),
        ("autoencoder.training", "7", "expected a section of settings, found 7"),
        ("autoencoder.mixing", "maybe", "expected true or false"),
        ("guidance.terms", "[nearest_stable_state: {weight: .inf}]", "finite"),
        ("data.archive", "[" * 90, "not valid YAML"),
        ("x" * 5000, "1", "no such key"),
        ("sampling.scheduler_options", "{a: [1]}", "scheduler_options"),
    ],
)
def test_values_are_refused_in_the_words_of_the_project(tiny_config, key, value, words):
    assert words in refusal(tiny_config, f"--{key}", value)


def test_a_pipe_in_place_of_a_file_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a file" in refusal(tmp_path / "pipe.yaml")


def test_a_file_that_may_not_be_read_says_so(tiny_config, monkeypatch):
    def refuse(*_args: object, **_kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert "cannot be read (Permission denied)" in refusal(tiny_config)


def test_aliases_and_merged_sections_may_be_used(tiny_config):
    text = (
        tiny_config.read_text() + "benchmark: {grid: &size [5, 12, 8], variants: {a: {b: *size}}}"
    )
    tiny_config.write_text(text)
    assert load_experiment(tiny_config).benchmark.variants["a"]["b"] == [5, 12, 8]
