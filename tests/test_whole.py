"""Files that are shorter, or longer, than they say themselves: said, never passed over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.id3 import APIC, ID3

from stemsplit.audio import AudioReader
from stemsplit.batch import Batch, SeparateOptions
from stemsplit.cli.app import run
from stemsplit.decode import DecodeError
from stemsplit.errors import AudioError
from stemsplit.events import Warned
from stemsplit.inputs import Song
from stemsplit.mpeg import mpeg_length
from stemsplit.whole import missing_part

RATE = 44_100
SAMPLES = 2 * RATE
# libsndfile's formats with a container that counts, and those whose codec does.
COUNTED = [("wav", "WAV"), ("wav", "RF64"), ("aiff", "AIFF"), ("caf", "CAF"), ("w64", "W64")]


def written(path: Path, kind: str, samples: int = SAMPLES) -> Path:
    noise = 0.1 * np.random.default_rng(0).standard_normal((samples, 2))
    soundfile.write(path, noise.astype(np.float32), RATE, format=kind)
    return path


def shortfall(path: Path) -> str | None:
    with AudioReader(path) as reader:
        return reader.shortfall(sum(block.shape[1] for block in reader.blocks(1 << 14)))


def cut(path: Path, share: float) -> int:
    """Cut a file; give the bytes that are left."""
    left = int(path.stat().st_size * share)
    with path.open("r+b") as file:
        file.truncate(left)
    return left


@pytest.mark.parametrize(
    ("suffix", "kind"), [*COUNTED, ("ogg", "OGG"), ("mp3", "MP3"), ("flac", "FLAC"), ("au", "AU")]
)
@pytest.mark.parametrize("samples", [1, SAMPLES])
def test_whole_files_lack_nothing(tmp_path: Path, suffix: str, kind: str, samples: int) -> None:
    assert shortfall(written(tmp_path / f"a.{suffix}", kind, samples)) is None


@pytest.mark.parametrize(("suffix", "kind"), COUNTED)
def test_a_cut_container_says_how_much_it_lacks(tmp_path: Path, suffix: str, kind: str) -> None:
    path = written(tmp_path / f"a.{suffix}", kind)
    size = path.stat().st_size
    missing = size - cut(path, 0.6)
    told = shortfall(path)
    assert told is not None
    # Less what may follow the samples, a few chunks of a few bytes.
    assert missing - 200 < int(told.split()[0]) <= missing
    assert told.endswith("bytes at its end are missing")


def test_a_cut_ogg_and_a_cut_mp3(tmp_path: Path) -> None:
    ogg, mp3 = written(tmp_path / "a.ogg", "OGG"), written(tmp_path / "a.mp3", "MP3")
    cut(ogg, 0.6)
    cut(mp3, 0.6)
    assert shortfall(ogg) == "its last page is missing"
    told = shortfall(mp3)
    assert told is not None
    assert told.endswith(f"wanted {SAMPLES} as its header says")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 44])
def test_a_size_that_its_writer_did_not_know_is_no_promise(tmp_path: Path, size: int) -> None:
    """As FFmpeg and sox write into pipes."""
    path = written(tmp_path / "a.wav", "WAV")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert missing_part(path) is None


def test_a_wav_beyond_what_its_header_counts_is_refused(tmp_path: Path) -> None:
    """Its size has begun again from 0, and all programs read the little that is left of it."""
    path = written(tmp_path / "a.wav", "WAV", RATE)
    with path.open("r+b") as file:
        file.truncate((1 << 32) + path.stat().st_size)  # a hole: it takes no room on the disk
    with pytest.raises(AudioError, match=r"cannot read all of .*a\.wav: got a WAV header, which c"):
        AudioReader(path)


def test_streams_one_after_another_are_read_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ogg files may be joined by putting them together; libsndfile reads the first."""
    one, two = written(tmp_path / "1.ogg", "OGG"), written(tmp_path / "2.ogg", "OGG", RATE)
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(DecodeError, match="several streams one after another"):
        missing_part(joined)
    with AudioReader(joined) as reader:
        samples = sum(block.shape[1] for block in reader.blocks(1 << 14))
    # Of each stream but the last FFmpeg leaves the padding of its last block, 2048 samples at most.
    assert SAMPLES + RATE <= samples < SAMPLES + RATE + 2048
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"several streams one after another.*convert it first"):
        AudioReader(joined)


def without_header(path: Path) -> Path:
    """Take the frame away that says how many there are, as old encoders wrote none."""
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 10) :])
    return path


def test_an_mp3_is_as_long_as_its_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no header counts them libsndfile guesses from the first ones, which here are larger."""
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, RATE // 4)
    samples = np.concatenate((noise, 0.3 * np.sin(np.arange(SAMPLES) / 30)))
    path = tmp_path / "a.mp3"
    soundfile.write(path, samples, RATE, bitrate_mode="VARIABLE", compression_level=0.3)
    whole = path.read_bytes()
    assert soundfile.info(without_header(path)).frames < SAMPLES // 2
    with AudioReader(path) as reader:
        got = sum(block.shape[1] for block in reader.blocks(1 << 14))
        assert reader.shortfall(got) is None
    # With what the encoder puts before and after, which only the header would tell.
    assert len(samples) < got < len(samples) + 3 * 1152
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(whole + path.read_bytes())
    with AudioReader(joined) as reader:
        assert sum(block.shape[1] for block in reader.blocks(1 << 14)) > 2 * len(samples)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"more than libsndfile expects of it.*convert it first"):
        AudioReader(path)
    with pytest.raises(AudioError, match="more than its header counts"):
        AudioReader(joined)


def test_an_mp3_that_says_nothing_lacks_nothing(tmp_path: Path) -> None:
    """However much of the file a cover is."""
    path = tmp_path / "a.mp3"
    noise = 0.1 * np.random.default_rng(0).standard_normal((SAMPLES, 2))
    soundfile.write(path, noise, RATE, bitrate_mode="CONSTANT", compression_level=0.5)
    tags = ID3()
    tags.add(APIC(mime="image/png", data=bytes(1 << 20)))
    tags.save(without_header(path))
    assert soundfile.info(path).frames > 2 * SAMPLES
    with AudioReader(path) as reader:
        assert SAMPLES < (reader.frames or 0) < SAMPLES + 3 * 1152
    assert shortfall(path) is None


@pytest.mark.parametrize("rate", [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_frames_of_every_kind_are_counted(
    tmp_path: Path, rate: int, channels: int, mode: str
) -> None:
    path = tmp_path / "a.mp3"
    noise = 0.1 * np.random.default_rng(0).standard_normal((rate, channels))
    soundfile.write(path, noise, rate, bitrate_mode=mode, compression_level=0.4)
    length = mpeg_length(path)
    assert length is not None
    assert length.stated
    assert rate < length.samples <= rate + 3 * 1152
    assert shortfall(path) is None


def test_damaged_containers_promise_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for suffix, kind in [*COUNTED, ("ogg", "OGG")]:
        data = written(tmp_path / f"a.{suffix}", kind, 500).read_bytes()
        for _ in range(300):
            mutant = bytearray(data[: rng.integers(4, 300)])
            for place in rng.integers(4, len(mutant), 3) if len(mutant) > 4 else ():
                mutant[place] = rng.integers(256)
            path = tmp_path / "mutant"
            path.write_bytes(mutant)
            try:
                told = missing_part(path)
            except (DecodeError, AudioError):
                continue
            assert told is None or "missing" in told


def test_the_command_warns_and_goes_on(
    tmp_path: Path, random_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    song = written(tmp_path / "song.wav", "WAV")
    cut(song, 0.5)
    line = ["-o", str(tmp_path / "out"), "-m", str(random_model), "--no-config"]
    assert run([str(song), *line]) == 0
    err = capfd.readouterr().err
    assert err.count(f"warning: {song} is shorter than it says: ") == 1
    assert soundfile.info(tmp_path / "out/song/bass.wav").frames == pytest.approx(RATE, abs=20)


def test_a_song_from_stdin_is_called_so(tmp_path: Path, random_model: Path) -> None:
    song = written(tmp_path / "song.wav", "WAV", RATE)
    cut(song, 0.5)
    command = [sys.executable, "-m", "stemsplit", "-", "-o", str(tmp_path / "out"), "--no-config"]
    with song.open("rb") as stream:
        done = subprocess.run(
            [*command, "-m", str(random_model)],
            stdin=stream,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stderr.count("warning: stdin is shorter than it says: ") == 1


def test_a_batch_tells_of_it(tmp_path: Path, random_model: Path) -> None:
    song = written(tmp_path / "song.mp3", "MP3")
    cut(song, 0.5)
    events: list[object] = []
    options = SeparateOptions(tmp_path / "out", model=str(random_model))
    assert Batch(options, events.append).run([Song(song, "song", "song.mp3")]).exit_code == 0
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert "is shorter than it says: got" in warned.message
