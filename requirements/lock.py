"""Write the files of this folder: every distribution with its version and the hashes of its files.

Run `make lock` after a change of pyproject.toml or constraints.txt; it needs uv.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXTRAS = (
    *("train", "report", "basin", "observations", "smoothers", "remote", "kerchunk", "dask"),
    *("dev", "docs"),
)
# torch.txt has PyTorch and the libraries of its CUDA build. pip prefers it to a CPU build, whose
# hashes no index states, so that build has its own file: for Python 3.11 on Linux x86-64.
TORCH = ("torch==", "cuda-", "nvidia-", "triton==")
CPU_BUILD = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
SOURCES = ("veros==",)  # have no wheels; they are built with the locked setuptools and Cython
HEADER = "# Made by `make lock` from pyproject.toml and constraints.txt. Do not edit.\n"


def main() -> None:
    """Resolve for Python 3.11 and above on every platform, and write the files."""
    blocks = re.split(r"^(?=\w)", resolved(), flags=re.M)
    (torch,) = (line.split()[0] for line in blocks if line.startswith("torch=="))
    _write("torch.txt", [block for block in blocks if block.startswith(TORCH)])
    _write("torch-cpu.txt", [f"{torch}+cpu \\\n    --hash=sha256:{CPU_BUILD}\n"])
    _write("sources.txt", [block for block in blocks if block.startswith(SOURCES)])
    _write("locked.txt", [block for block in blocks if not block.startswith(TORCH + SOURCES)])


def resolved() -> str:
    """What uv resolves, as a requirements file with hashes."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version=3.11.7"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--constraint=constraints.txt"]
    command += [f"--extra={extra}" for extra in EXTRAS]
    run = subprocess.run(command, cwd=FOLDER.parent, check=True, capture_output=True, text=True)
    return run.stdout


def _write(name: str, blocks: list[str]) -> None:
    (FOLDER / name).write_text(HEADER + "".join(blocks))


if __name__ == "__main__":
    main()
