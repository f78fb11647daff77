"""The house's rules: imports go one way, and nothing is pickled."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each room with the rooms that it may import from. A room's settings are lower than the room:
# configurations are made of them.
MAY_IMPORT = {
    "data": set(),
    "guidance": {"data"},
    "training": {"data"},
    "autoencoder.settings": {"data", "training"},
    "configs": {"data", "training", "autoencoder.settings"},
    "autoencoder": {"data", "guidance", "training", "configs"},
    "latent_diffusion": {"data", "guidance", "training", "configs", "autoencoder"},
    "evaluation": {
        *("data", "guidance", "training", "configs", "autoencoder", "latent_diffusion"),
    },
}
MAY_IMPORT["integration"] = {*MAY_IMPORT["evaluation"], "evaluation"}
MAY_IMPORT["studies"] = {*MAY_IMPORT["integration"], "integration"}
ROOMS = {*MAY_IMPORT, "halocline", "tests"}
MAY_IMPORT["halocline"] = ROOMS - {"halocline", "tests"}


def sources(room: str) -> list[Path]:
    folder = ROOT / room
    if folder.is_dir():
        return sorted(folder.rglob("*.py"))
    return [ROOT / f"{room.replace('.', '/')}.py"]


def imported_rooms(source: str) -> set[str]:
    """Rooms that `source` imports anywhere, within functions too; settings by their full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            names.add(node.module or "")
    return {name if name in ROOMS else name.split(".")[0] for name in names} & ROOMS


def allowed(imported: str, room: str) -> bool:
    """Whether `room` may import `imported`; who may import a room may import its settings."""
    rooms = {room, *MAY_IMPORT[room]}
    return imported in rooms or imported.split(".")[0] in rooms


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_go_one_way(room):
    files = sources(room)
    assert files
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in files
        if (found := {name for name in imported_rooms(path.read_text()) if not allowed(name, room)})
    }
    assert wrong == {}


def test_the_scan_sees_imports_within_functions():
    source = "def f():\n    from halocline import main\n    import evaluation.metrics\n"
    assert imported_rooms(source) == {"halocline", "evaluation"}


def test_settings_are_lower_than_their_room():
    source = "from autoencoder.settings import LossSettings\nfrom autoencoder import codec\n"
    assert imported_rooms(source) == {"autoencoder.settings", "autoencoder"}
    assert allowed("autoencoder.settings", "configs")
    assert not allowed("autoencoder", "configs")
    assert not allowed("configs", "autoencoder.settings")
    assert not allowed("autoencoder.settings", "data")
    assert allowed("autoencoder.settings", "evaluation")


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
