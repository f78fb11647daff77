"""Notebooks of the documentation: pages of the site, and what their cells print and draw.

MkDocs calls `on_files`, which makes a page of each notebook. A notebook is run, and its outputs
are kept in it, by

    python docs/notebooks.py docs/tutorial/gallery.ipynb
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

SUFFIX = ".ipynb"
RESOLUTION = 80  # dots per inch, so that a notebook with its figures stays small

Cell = dict[str, Any]


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each notebook; the notebook itself stays, to be downloaded."""
    from mkdocs.structure.files import File

    for file in list(files):
        if file.src_uri.endswith(SUFFIX):
            name = file.src_uri.removesuffix(SUFFIX) + ".md"
            cells = json.loads(Path(file.abs_src_path).read_text(encoding="utf-8"))["cells"]
            files.append(File.generated(config, name, content=as_markdown(cells)))
    return files


def as_markdown(cells: list[Cell]) -> str:
    """The cells of a notebook with their outputs as Markdown."""
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: Cell) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [_fenced(source, "python"), *map(_output, cell["outputs"])]


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    data = output["data"]
    if "image/png" in data:
        return f'<img alt="figure" src="data:image/png;base64,{data["image/png"].strip()}">'
    return _fenced("".join(data["text/plain"]), "text")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def code_of(path: Path) -> list[str]:
    """The code cells of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def execute(cells: list[str]) -> list[list[dict[str, Any]]]:
    """Run code cells one after another in one namespace; returns the outputs of each."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_run(source, namespace) for source in cells]


def _run(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a cell: what it prints, its last value, and the figures it leaves open."""
    *statements, last = ast.parse(source).body
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        if not isinstance(last, ast.Expr):
            statements.append(last)
        exec(compile(ast.Module(statements, []), "<cell>", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    outputs = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append(_displayed(data, "execute_result") | {"execution_count": None})
    return [*outputs, *map(_displayed, _open_figures())]


def _displayed(data: dict[str, Any], kind: str = "display_data") -> dict[str, Any]:
    return {"output_type": kind, "data": data, "metadata": {}}


def _open_figures() -> list[dict[str, str]]:
    """The open figures of pyplot as PNG in base64; closes them."""
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, format="png", dpi=RESOLUTION, bbox_inches="tight")
        found.append({"image/png": base64.b64encode(image.getvalue()).decode("ascii")})
    pyplot.close("all")
    return found


def keep_outputs(path: Path) -> None:
    """Run a notebook and write its outputs into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = execute(["".join(cell["source"]) for cell in code])
    for cell, found in zip(code, outputs, strict=True):
        cell["outputs"] = found
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("agg")
    keep_outputs(Path(sys.argv[1]))
