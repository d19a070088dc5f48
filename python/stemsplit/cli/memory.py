"""What the command asks of the C library's allocator."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 30


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks for the next request instead of returning them.

    Every layer of the network asks for some MiB and frees them; with the allocator untouched each
    comes as pages that the kernel clears anew, a third of the time of a separation. The process
    is the command's own, so the setting is too; a library would not touch it. Elsewhere than on
    glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
