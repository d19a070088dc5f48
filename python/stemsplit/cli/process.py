"""What the command asks of its own process: the allocator's and the threads' manners."""

from __future__ import annotations

import ctypes
import os
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 30


def tune_process() -> None:
    """Set up the process for the network; call it before torch is imported.

    A library would leave both to its user, but this process is the command's own.
    """
    _wait_passively()
    _keep_freed_memory()


def _wait_passively() -> None:
    """Let torch's threads sleep while they wait for one another instead of spinning.

    Beside a busy neighbour, a DAW that plays or another separation, spinning threads take the
    time that the ones they wait for need: a separation then took more than twice as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks for the next request instead of returning them.

    Every layer of the network asks for some MiB and frees them; with the allocator untouched each
    comes as pages that the kernel clears anew, a third of the time of a separation. Elsewhere than
    on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
