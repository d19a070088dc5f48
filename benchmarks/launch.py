"""Runs a command; writes its wall time, processor time, peak memory and exit code as JSON.

    python launch.py RESULT.json COMMAND...

It is a process of its own, and imports next to nothing, because Linux counts what the parent held
at the fork towards the peak of the child.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    result, *command = sys.argv[1:]
    begin = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    facts = {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        # kibibytes on Linux, bytes on macOS
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123 (pathlib is an import more)
        json.dump(facts, file)


if __name__ == "__main__":
    main()
