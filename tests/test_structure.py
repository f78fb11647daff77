"""The house's rules: imports go one way, and nothing is pickled."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each room with the rooms that it may import from.
MAY_IMPORT = {
    "data": set(),
    "guidance": {"data"},
    "training": {"data"},
    "configs": {"data", "training"},
    "autoencoder": {"data", "guidance", "training", "configs"},
    "latent_diffusion": {"data", "guidance", "training", "configs", "autoencoder"},
    "evaluation": {
        *("data", "guidance", "training", "configs", "autoencoder", "latent_diffusion"),
    },
}
MAY_IMPORT["integration"] = {*MAY_IMPORT["evaluation"], "evaluation"}
MAY_IMPORT["studies"] = {*MAY_IMPORT["integration"], "integration"}
ROOMS = {*MAY_IMPORT, "halocline", "tests"}
# Settings that stand beside what they build, and that an experiment is put together from.
SETTINGS = {"guidance.settings"}
MAY_IMPORT["halocline"] = ROOMS - {"halocline", "tests"}


def sources(room: str) -> list[Path]:
    folder = ROOT / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{room}.py"]


def imported_rooms(source: str, *, room: str = "") -> set[str]:
    """Rooms that `source` of a room imports anywhere, within functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            names.add(node.module or "")
    names -= SETTINGS if room == "configs" else set()
    return {name.split(".")[0] for name in names} & ROOMS


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room):
    files = sources(room)
    assert files
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := imported_rooms(path.read_text(), room=room) - MAY_IMPORT[room] - {room})
    }
    assert wrong == {}


def test_the_scan_sees_imports_within_functions():
    source = "def f():\n    from halocline import main\n    import evaluation.metrics\n"
    assert imported_rooms(source) == {"halocline", "evaluation"}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_nothing_is_pickled(room):
    forbidden = ("import pickle", "torch.load(", "torch.save(", "allow_pickle=True", "joblib")
    forbidden += (".save_state(", ".load_state(")  # accelerate's, which pickle
    wrong = [
        (path.name, word)
        for path in sources(room)
        for word in forbidden
        if word in path.read_text()
    ]
    assert wrong == []
