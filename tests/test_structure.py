"""The house's rules: imports go one way, and nothing is pickled."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from configs.schema import Experiment
from data.shipped import MODELS

ROOT = Path(__file__).resolve().parents[1]

# Each room with the rooms that it may import from.
MAY_IMPORT = {
    "data": set(),
    "guidance": {"data"},
    "training": {"data"},
    "autoencoder": {"data", "guidance", "training"},
    "latent_diffusion": {"data", "guidance", "training", "autoencoder"},
    # What assembles an experiment knows what it assembles; of later rooms only their settings.
    "configs": {"data", "guidance", "training", "autoencoder", "latent_diffusion"},
}
MAY_IMPORT["evaluation"] = {*MAY_IMPORT["configs"], "configs"}
MAY_IMPORT["integration"] = {*MAY_IMPORT["evaluation"], "evaluation"}
MAY_IMPORT["studies"] = {*MAY_IMPORT["integration"], "integration"}
ROOMS = {*MAY_IMPORT, "halocline", "tests"}
# Settings of a later room that an experiment is put together from.
SETTINGS = {"integration.settings"}
MAY_IMPORT["halocline"] = ROOMS - {"halocline", "tests"}


def sources(room: str) -> list[Path]:
    """The modules of a room; the files of shipped models are products, not modules."""
    folder = ROOT / room
    if not folder.is_dir():
        return [ROOT / f"{room}.py"]
    return sorted(path for path in folder.rglob("*.py") if not path.is_relative_to(ROOT / MODELS))


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


PRODUCT = [path for room in sorted(MAY_IMPORT) for path in sources(room)]
MOST_LINES = 400
MOST_SETTINGS = 207


def test_no_module_is_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PRODUCT}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    """Those of `modules` that a module imports when it is loaded, so not within functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from modules & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            within = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            yield from within or {node.module or ""} & modules
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported_modules(node, modules)


def test_no_modules_import_each_other_in_a_circle():
    trees = {module_name(path): ast.parse(path.read_text()) for path in PRODUCT}
    graph = {name: {*imported_modules(tree, {*trees})} for name, tree in trees.items()}
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def leaf_keys(model: type[BaseModel], above: str = "") -> set[str]:
    """Dotted keys of all settings that have no settings below them."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        key = f"{above}{name}"
        sections = list(models_in(field.annotation))
        keys |= set().union(*(leaf_keys(one, f"{key}.") for one in sections)) or {key}
    return keys


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The sections in a type, such as `Section | None` or `dict[str, Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def test_an_experiment_does_not_grow_beyond_its_number_of_settings():
    keys = leaf_keys(Experiment)
    assert {"data.ingest.reader.mesh_mask", "autoencoder.losses.kl", "name"} <= keys
    assert len(keys) <= MOST_SETTINGS


# Ruff (S301, S302) sees calls that unpickle; these pickle or unpickle within a library.
PICKLERS = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
TORCH_PICKLERS = {"torch.load", "torch.save"}
ACCELERATE_PICKLERS = {"save_state", "load_state"}  # of an Accelerator, whatever it is called


def pickling(source: str) -> list[str]:
    """What in `source` pickles or unpickles, as "line: what"."""
    return [
        f"{node.lineno}: {found}"
        for node in ast.walk(ast.parse(source))
        if (found := _pickler(node))
    ]


def _pickler(node: ast.AST) -> str | None:
    match node:
        case ast.Import(names=names):
            found = {alias.name.split(".")[0] for alias in names} & PICKLERS
        case ast.ImportFrom(module=str(module), names=names):
            full = {f"{module}.{alias.name}" for alias in names}
            found = full & TORCH_PICKLERS | {module.split(".")[0]} & PICKLERS
        case ast.Attribute(value=ast.Name(id="torch"), attr=name):
            found = {f"torch.{name}"} & TORCH_PICKLERS
        case ast.Attribute(attr=name):
            found = {name} & ACCELERATE_PICKLERS
        case ast.keyword(arg="allow_pickle", value=value):
            allowed = not (isinstance(value, ast.Constant) and value.value is False)
            found = {"allow_pickle"} if allowed else set()
        case _:
            return None
    return ", ".join(sorted(found)) or None


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_nothing_is_pickled(room):
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources(room)
        if (found := pickling(path.read_text()))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "saved = torch.save",
        "from torch import save as keep",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=choice)",
        "self.accelerator.save_state(folder)",
        "def f():\n    import joblib",
        "from pickle import dumps",
        "import os, dill.session",
    ],
)
def test_the_scan_sees_pickling(source):
    assert len(pickling(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from safetensors.torch import load_file",
        "np.load(path, allow_pickle=False)",
        "'torch.load(path)'  # torch.load(path)",
        "network.load_state_dict(tensors)",
    ],
)
def test_the_scan_lets_pass_what_does_not_pickle(source):
    assert pickling(source) == []
