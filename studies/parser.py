"""The parser of the command line: says what a mistyped command or option may have meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from data.errors import meant

_CHOICE = re.compile(r"invalid choice: '(?P<word>[^']*)' \(choose from (?P<known>.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the command, choice or option that was meant."""

    def error(self, message: str) -> NoReturn:
        """End with usage and `message`, exit code 2."""
        found = _CHOICE.search(message)
        if found:
            message += meant(found["word"], re.findall(r"[\w.-]+", found["known"]))
        super().error(message)

    def parse_known_args(  # type: ignore[override]  # a Namespace suffices here
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Known options and the other words; an option that is nearly a known one is an error.

        Sections of settings have a dot, so that they are no such option.
        """
        known, others = super().parse_known_args(args, namespace)
        for name in (word.partition("=")[0] for word in others):
            suggestion = meant(name, self._option_string_actions)
            if name.startswith("--") and "." not in name and suggestion:
                self.error(f"there is no option {name}{suggestion}")
        return known, others


def installed_version() -> str:
    """The version for `--version`; without an installed Halocline, that it is not installed."""
    try:
        return f"halocline {version('halocline')}"
    except PackageNotFoundError:
        return "halocline, not installed"
