"""What ``--version`` prints: the versions that matter in a bug report, without importing torch."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "soundfile", "soxr", "mutagen", "typer", "rich")
EXTRAS = {"av": "av", "jinja2": "report", "pillow": "report",
          "watchfiles": "watch", "museval": "evaluate"}  # fmt: skip


def installed(package: str) -> str | None:
    """Give the version of an installed package; None where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_lines() -> list[str]:
    """Give the lines; the first is the program's name and version alone."""
    found = {name: installed(name) for name in (*PACKAGES, *EXTRAS)}
    return [
        f"stemsplit {installed('stemsplit')}",
        f"Python {platform.python_version()} on {platform.platform()}",
        f"kernel {_kernel()}",
        ", ".join(f"{name} {number}" for name, number in found.items() if number),
    ]


def _kernel() -> str:
    try:
        from stemsplit.dsp import kernel_name

        return kernel_name()
    except (ImportError, ValueError) as error:
        return f"missing ({error}); see stemsplit doctor"
