"""MIDI rendered to stems: with a stand-in for FluidSynth, and with itself where it is."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from midi_songs import write_band, write_soundfont
from stemsplit.cli.app import run
from stemsplit.dataset import find_tracks, read_track
from stemsplit.errors import InputError, UsageError
from stemsplit.making.midi import find_songs, parse, split_events
from stemsplit.making.render import RenderSettings, fluidsynth_command, with_kit
from stemsplit.making.soundfont import read_soundfont

GM = [(0, 0), (0, 33), (128, 0), (128, 48)]
REAL_FONTS = [Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "FluidR3_GM.sf2")]


@pytest.fixture
def fonts(tmp_path: Path) -> tuple[Path, Path]:
    """Write a SoundFont of a band, and one with a drum kit where others have a piano."""
    return (
        write_soundfont(tmp_path / "band.sf2", GM),
        write_soundfont(tmp_path / "-kit ü.sf2", [(0, 0)]),
    )


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in first on the path; give the folder it is in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "fluidsynth"
    script = Path(__file__).with_name("fluidsynth_stand_in.py")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def render(songs: Path, output: Path, font: Path, *more: object) -> int:
    arguments = ["dataset", "render", songs, "-o", output, "--soundfont", font, "-q", *more]
    return run([str(argument) for argument in arguments])


def test_a_song_becomes_a_track(tmp_path: Path, stand_in: Path, fonts: tuple[Path, Path]) -> None:
    song = write_band(tmp_path / "songs" / "-a song.mid")
    assert render(song.parent, tmp_path / "out", fonts[0], "--kit", fonts[1]) == 0
    (track,) = find_tracks(tmp_path / "out")
    audio = read_track(track)
    assert audio.present == {"drums", "bass", "other"}
    assert audio.sample_rate == 44_100
    # The last note ends two seconds after the first, and has two more to die away.
    assert audio.stems.shape == (4, 2, 4 * 44_100)
    peak = max(np.abs(audio.stems).max(), np.abs(audio.stems.sum(axis=0)).max())
    # -1 dB, give or take the rounding of three stems to 16 bits.
    assert peak == pytest.approx(10 ** (-1 / 20), abs=3 * 2**-16)
    assert stand_in.is_dir()


def test_a_track_depends_on_its_seed_and_name_alone(
    tmp_path: Path, stand_in: Path, fonts: tuple[Path, Path]
) -> None:
    for name in ("one", "two", "three"):
        write_band(tmp_path / "songs" / f"{name}.mid")
    assert render(tmp_path / "songs", tmp_path / "all", fonts[0]) == 0
    assert render(tmp_path / "songs", tmp_path / "few", fonts[0], "--limit", 2) == 0
    few = sorted(path.name for path in (tmp_path / "few").iterdir())
    assert len(few) == 2
    for name in few:
        for stem in (tmp_path / "few" / name).iterdir():
            assert stem.read_bytes() == (tmp_path / "all" / name / stem.name).read_bytes()
    assert stand_in.is_dir()


def test_a_second_call_goes_on(
    tmp_path: Path, stand_in: Path, fonts: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        write_band(tmp_path / "songs" / f"{name}.mid")
    out = tmp_path / "out"
    (out / ".partial-x" / "two").mkdir(parents=True)  # of a call that was killed
    (out / ".partial-x" / "two" / "drums.flac").write_bytes(b"half")
    os.utime(out / ".partial-x", (0, 0))
    assert render(tmp_path / "songs" / "one.mid", out, fonts[0]) == 0
    before = (out / "one" / "drums.flac").stat().st_mtime_ns
    arguments = ["dataset", "render", tmp_path / "songs", "-o", out, "--soundfont", fonts[0]]
    assert run([str(argument) for argument in arguments]) == 0
    assert "2 tracks: 1 made, 1 skipped, 0 silent, 0 failed" in capfd.readouterr().err
    assert (out / "one" / "drums.flac").stat().st_mtime_ns == before
    assert sorted(path.name for path in out.iterdir()) == ["one", "two"]
    assert stand_in.is_dir()


def test_a_song_that_cannot_be_read_fails_alone(
    tmp_path: Path, stand_in: Path, fonts: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    write_band(tmp_path / "songs" / "good.mid")
    (tmp_path / "songs" / "bad.mid").write_bytes(b"no MIDI")
    assert render(tmp_path / "songs", tmp_path / "out", fonts[0], "-f", "ogg") == 3
    assert "bad: cannot read MIDI bad" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    assert stand_in.is_dir()


def test_no_fluidsynth_is_said(
    tmp_path: Path,
    fonts: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    song = write_band(tmp_path / "song.mid")
    assert render(song, tmp_path / "out", fonts[0]) == 69
    assert "got no fluidsynth; install it" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_failure_of_fluidsynth_is_told(
    tmp_path: Path, stand_in: Path, fonts: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    (stand_in / "fluidsynth").write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    song = write_band(tmp_path / "song.mid")
    assert render(song, tmp_path / "out", fonts[0]) == 3
    assert "got out of luck" in capfd.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_real_song_is_heard_where_fluidsynth_is(tmp_path: Path) -> None:
    """Its bass plays notes of 82 and 98 Hz (40 and 43), and nothing lower."""
    font = next((font for font in REAL_FONTS if font.is_file()), None)
    if shutil.which("fluidsynth") is None or font is None:
        pytest.skip("no fluidsynth or SoundFont here; a stand-in tests the rest")
    song = write_band(tmp_path / "song.mid")
    assert render(song, tmp_path / "out", font, "--seconds", 1.5) == 0
    audio, rate = soundfile.read(tmp_path / "out" / "song" / "bass.flac")
    assert audio.shape == (round(1.5 * rate), 2)
    assert not audio[: round(0.45 * rate)].any(), "it comes in after half a second"
    played = audio[round(0.55 * rate) : round(0.95 * rate), 0]
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played)), 1 << 17))
    loudest = np.argmax(spectrum) * rate / (1 << 17)
    harmonic = loudest / 82.41
    # A window of 0.4 s tells 2.5 Hz apart.
    assert abs(loudest - 82.41 * round(harmonic)) < 2.5


def test_arguments_keep_names_that_look_like_options() -> None:
    command = fluidsynth_command(
        "fluidsynth", Path("-font.sf2"), Path("/t/a.mid"), Path("/t/a.wav")
    )
    assert command[-2].startswith("/")
    assert command[-1] == "/t/a.mid"


def test_a_kit_in_the_instruments_bank_plays_the_drums(tmp_path: Path) -> None:
    (song,) = find_songs([write_band(tmp_path / "song.mid")])
    events = split_events(parse(song), None)["drums"]
    for kit, channel in (((0, 3), 0), ((128, 16), 9)):
        played = [message for _, message in with_kit(events, kit)]
        assert {message.channel for message in played} == {channel}
        programs = [message.program for message in played if message.type == "program_change"]
        assert programs == [kit[1]]


def test_presets_are_read(fonts: tuple[Path, Path]) -> None:
    band, kit = (read_soundfont(path) for path in fonts)
    assert band.presets == tuple(sorted(GM))
    assert band.kits == ((128, 0),)  # the orchestra's kit is none for a band
    assert kit.kits == ((0, 0),)
    with pytest.raises(UsageError, match="--kit"):
        RenderSettings((kit,))
    with pytest.raises(UsageError, match="bad seconds"):
        RenderSettings((band,), seconds=0)


@pytest.mark.parametrize("data", [b"", b"RIFF\0\0\0\0WAVEfmt ", b"RIFF\0\0\0\0sfbk"])
def test_files_that_are_no_soundfont_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot read SoundFont .*font\.sf2"):
        read_soundfont(path)
