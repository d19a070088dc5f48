"""stemsplit: split a song into vocals, drums, bass and other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stemsplit.errors import StemsplitError

if TYPE_CHECKING:
    from stemsplit.separate import Separator
    from stemsplit.song import separate_file

    __version__: str

__all__ = ["Separator", "StemsplitError", "__version__", "separate_file"]

_HOMES = {"Separator": "stemsplit.separate", "separate_file": "stemsplit.song"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): torch takes seconds, and ``stemsplit --help`` needs none."""
    if name == "__version__":
        from importlib.metadata import version

        return version("stemsplit")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
