"""What the command asks of its own process: the allocator's and the threads' manners."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 30

NICENESS = 10
"""Of POSIX; 0 is a usual process's, 19 the lowest priority."""
# From the Windows API.
_BELOW_NORMAL_PRIORITY_CLASS = 0x4000


def tune_process(*, nice: bool = False) -> None:
    """Set up the process for the network; call it before torch is imported.

    A library would leave all of it to its user, but this process is the command's own.

    Parameters
    ----------
    nice:
        Give way to whatever else wants the processor.
    """
    if nice:
        _give_way()
    _wait_passively()
    _keep_freed_memory()


def _give_way() -> None:
    """Lower the priority of this thread and of those it will start; where it may not, go on.

    On Linux the priority of reading and writing follows that of the processor.
    """
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL_PRIORITY_CLASS)
        return
    with suppress(OSError):
        os.nice(max(0, NICENESS - os.nice(0)))


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
