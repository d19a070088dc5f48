"""The ``stemsplit`` command."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

STARTED = time.perf_counter()
"""When the command began, as near as its own code can tell: for ``--profile``."""


def main() -> NoReturn:
    """Run the command line on ``sys.argv`` and exit with its code."""
    from stemsplit.cli.streams import mend_streams

    mend_streams()  # before anything opens a file, which would get a closed one's number
    from stemsplit.cli.app import run
    from stemsplit.cli.errors import exit_on_signals

    exit_on_signals()
    sys.exit(run(sys.argv[1:]))
