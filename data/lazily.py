"""Functions whose modules are imported when they are called.

What says how an experiment is set up is read before anything is computed: the command line and the
settings name what they call as MODULE:FUNCTION, so that a mistake in them is found without loading
PyTorch and the readers of files.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazily(name: str) -> Callable[..., Any]:
    """The function MODULE:FUNCTION; its module is imported when it is called."""
    module, _, function = name.partition(":")

    def call(*arguments: object, **keywords: object) -> Any:
        return getattr(import_module(module), function)(*arguments, **keywords)

    return call
