"""Completion of the command line, in bash itself."""

from __future__ import annotations

import subprocess

import pytest

from halocline import main


@pytest.fixture
def complete(capsys, tmp_path):
    """What bash offers for the last of some words."""
    main(["completion", "bash"])
    script = capsys.readouterr().out
    (tmp_path / "configs").mkdir()
    for name in ("quickstart.yaml", "notes.txt"):
        (tmp_path / name).touch()

    def offered(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in ("halocline", *words))
        call = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _shtab_halocline"
        text = f"{script}\n{call}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
        run = subprocess.run(
            ["bash", "--norc"], input=text, cwd=tmp_path, text=True, capture_output=True
        )
        return run.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ev"], ["evaluate"]),
        (["train", "dist"], ["distillation"]),
        (["study", "cost", "gro"], ["growth"]),
        (["export", "quickstart.yaml", "--over"], ["--overwrite"]),
        (["run", ""], ["configs", "quickstart.yaml"]),
        (["study", "cost", "growth", "q"], ["quickstart.yaml"]),
        (["train", "diffusion", "qu"], ["quickstart.yaml"]),
        (["export", "quickstart.yaml", "--states", "no"], ["notes.txt"]),
    ],
)
def test_bash_completes_commands_options_and_paths(complete, words, offered):
    assert complete(*words) == offered


def test_there_is_a_script_for_zsh(capsys):
    main(["completion", "zsh"])
    assert "#compdef halocline" in capsys.readouterr().out
