"""Kill -9 at random moments of a batch: nothing half-done, and resuming ends with equal bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from conftest import SongWriter

KILLS = 50


def test_kills_at_random_moments(
    write_song: SongWriter, random_model: Path, tmp_path: Path
) -> None:
    for index in range(3):
        write_song(f"songs/{index}.wav", 0.1 + 0.05 * index)
    script = Path(__file__).with_name("kill_batches.py")
    arguments = [str(random_model), str(tmp_path / "songs"), str(tmp_path / "out"), str(KILLS)]
    result = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["faults"] == []
    assert outcome["killed"] == KILLS
