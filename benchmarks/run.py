"""Run the benchmarks that need no songs with stems, each in its own process; see `make bench`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = ("transforms", "network", "command", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes; only prints")
    options = ["--quick"] if parser.parse_args().quick else []
    folder = Path(__file__).parent
    failed = []
    for name in NAMES:
        print(f"\n{name}", flush=True)
        done = subprocess.run([sys.executable, str(folder / f"{name}.py"), *options])
        if done.returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
