"""What the command asks of its own process: manners of allocator and threads, a clean stderr."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemsplit.events import Event, SongEnded, SongProgress

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE = 1 << 30
_STDERR = 2
_KEPT_SAMPLES = 100 * 44_100  # of a song, 100 s at most rates

NICENESS = 10
"""Of POSIX; 0 is a usual process's, 19 the lowest priority."""
# From the Windows API.
_BELOW_NORMAL_PRIORITY_CLASS = 0x4000


class FreedMemory:
    """Gives freed blocks that were kept back to the system, now and then; glibc only.

    Kept for ever they would pile up in a long song or batch, as pieces that what comes next does
    not fit. The network's layers are fetched anew afterwards, which takes as long as some seconds
    of song, so it is not done after every segment.
    """

    def __init__(self) -> None:
        self._trimmed_at: dict[int, int] = {}

    def after(self, event: Event) -> None:
        """Take note of what happened in a batch, and give memory back where it is time."""
        if isinstance(event, SongProgress):
            if event.done_samples - self._trimmed_at.get(event.number, 0) >= _KEPT_SAMPLES:
                self._trimmed_at[event.number] = event.done_samples
                _trim()
        elif isinstance(event, SongEnded):
            self._trimmed_at.pop(event.number, None)
            _trim()


def _trim() -> None:
    trim = _libc_function("malloc_trim")
    if trim is not None:
        trim(0)


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
    """Lower the priority of all threads, those to come included; where it may not, go on.

    On Linux the priority of reading and writing follows that of the processor.
    """
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        # Untyped, the process's pseudo-handle, -1, would be passed as 32 of its 64 bits.
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.SetPriorityClass.argtypes = (ctypes.c_void_p, ctypes.c_ulong)
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL_PRIORITY_CLASS)
        return
    with suppress(OSError):
        os.nice(max(0, NICENESS - os.nice(0)))
    # On Linux that was this thread alone, and numpy has begun others when it was imported.
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):
            thread = int(task.name)
            before = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, before))


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Keep off stderr what libraries write there past Python; what Python prints goes on.

    libmpg123 remarks on every odd header of an MP3, in lines that scripts would take for errors.
    Enter it before rich draws bars, which keep the stderr they find.
    """
    before = sys.stderr
    try:
        ours = before.fileno() == _STDERR  # else, as in tests, Python prints elsewhere already
        kept = os.dup(_STDERR)
    except (AttributeError, OSError, ValueError):  # no stderr, as under pythonw
        yield
        return
    with open(kept, "w", 1, before.encoding, before.errors) as stream:  # noqa: PTH123
        before.flush()
        _lead_nowhere(_STDERR)
        if ours:
            sys.stderr = stream
        try:
            yield
        finally:
            sys.stderr = before
            stream.flush()
            os.dup2(kept, _STDERR)


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


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
    on glibc nothing happens. What one thread freed is another's to take: with a heap for each
    thread, as is usual, how much was kept varied by a third from run to run.
    """
    mallopt = _libc_function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, 1)


def _libc_function(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)  # musl has neither
