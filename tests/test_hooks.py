"""The line for Ardour, taken apart as Ardour does, and what is left beside an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemsplit.cli.app import run

LINE = Path(__file__).parent.parent / "hooks" / "ardour" / "post-export.txt"


@pytest.fixture
def export(tmp_path, random_model, monkeypatch, capfd):
    """Run the line on an exported file, as Ardour does: first split, then put names in."""
    monkeypatch.setenv("STEMSPLIT_MODEL", str(random_model))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def export(file):
        names = {"%f": str(file), "%d": f"{file.parent}/"}
        program, *words = LINE.read_text().split()
        assert program == "stemsplit"
        for name, value in names.items():
            words = [word.replace(name, value) for word in words]
        code = run(words)
        return code, capfd.readouterr()

    return export


def test_stems_beside_the_export(export, write_song):
    song = write_song("My session/the mix.wav", 0.2)
    code, (out, err) = export(song)
    assert (code, out, err) == (0, "", "")
    assert sorted(path.name for path in song.parent.iterdir()) == ["stems", "the mix.wav"]
    stems = song.parent / "stems" / "the mix"
    assert sorted(path.stem for path in stems.iterdir()) == ["bass", "drums", "other", "vocals"]


def test_a_failure_leaves_a_log(export, tmp_path):
    song = tmp_path / "mix.wav"
    song.write_text("no audio")
    code, _ = export(song)
    assert code == 65
    log = (tmp_path / "stemsplit.log").read_text()
    assert "error cannot read" in log
    assert not (tmp_path / "stems").exists()
