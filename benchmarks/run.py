"""Run every benchmark in turn, each in its own process; `make bench` calls this."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("transforms", "network", "command", "memory")


def main() -> None:
    folder = Path(__file__).parent
    failed = []
    for name in NAMES:
        print(f"\n{name}", flush=True)
        done = subprocess.run([sys.executable, str(folder / f"{name}.py"), *sys.argv[1:]])
        if done.returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
