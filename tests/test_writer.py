"""Writing stems: what arrives, and what is left behind when something fails."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import soundfile

from stemsplit import writer as writer_module
from stemsplit.errors import OutputError, UsageError
from stemsplit.wav import wav_header
from stemsplit.writer import AudioWriter, StemSetWriter

STEMS = ("vocals", "drums")


def noise(*shape):
    return (0.3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def stem_set(folder, **changes):
    settings = {"sample_rate": 44_100, "channels": 2, "subtype": "FLOAT", **changes}
    return StemSetWriter(folder, STEMS, **settings)


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_blocks_of_any_size_join(tmp_path):
    signal = noise(2, 10_001)
    audio = AudioWriter(tmp_path / "a.wav", 48_000, 2, "FLOAT")
    for piece in np.split(signal, [1, 1, 5000], axis=1):
        audio.write(piece)
    assert everything_in(tmp_path) != ["a.wav"]
    audio.commit()
    assert everything_in(tmp_path) == ["a.wav"]
    decoded, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 48_000
    np.testing.assert_array_equal(decoded.T, signal)


def test_the_same_samples_give_the_same_bytes(tmp_path):
    for name in ("a.wav", "b.wav"):
        audio = AudioWriter(tmp_path / name, 44_100, 1, "FLOAT")
        audio.write(noise(1, 1000))
        audio.commit()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_outgrowing_riff_gives_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "wav_header", partial(wav_header, riff_limit=50_000))
    for seconds, container in ((0.2, "WAV"), (0.5, "RF64")):
        audio = AudioWriter(tmp_path / "a.wav", 44_100, 1, "PCM_24")
        signal = noise(1, round(44_100 * seconds) + 1)
        audio.write(signal)
        audio.commit()
        info = soundfile.info(tmp_path / "a.wav")
        assert (info.format, info.frames) == (container, signal.shape[1])


def test_clipping_is_counted(tmp_path):
    block = np.array([[0.5, 1.0, 1.25], [-1.0, -1.5, 0.0]], np.float32)
    for subtype, clipped in (("PCM_16", 2), ("FLOAT", 0)):
        audio = AudioWriter(tmp_path / "a.wav", 44_100, 2, subtype)
        audio.write(block)
        audio.commit()
        assert (audio.clipped, audio.peak, audio.frames) == (clipped, 1.5, 3)


def test_stems_appear_together(tmp_path):
    stems = noise(2, 2, 5000)
    with stem_set(tmp_path / "new" / "song") as output:
        output.write(stems[:, :, :3000])
        output.write(stems[:, :, 3000:])
        assert not list(tmp_path.rglob("*.wav"))
        output.commit()
    assert everything_in(tmp_path / "new") == ["song", "song/drums.wav", "song/vocals.wav"]
    for name, stem in zip(STEMS, stems, strict=True):
        decoded, _ = soundfile.read(output.paths[name], dtype="float32")
        np.testing.assert_array_equal(decoded.T, stem)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_stays_after_an_error(tmp_path, error):
    def fail():
        with stem_set(tmp_path / "new" / "song") as output:
            output.write(noise(2, 2, 5000))
            raise error

    with pytest.raises(error):
        fail()
    assert everything_in(tmp_path) == []


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "vocals.wav").write_text("older")
    with stem_set(tmp_path) as output:
        output.write(noise(2, 2, 5000))
    assert everything_in(tmp_path) == ["vocals.wav"]
    assert (tmp_path / "vocals.wav").read_text() == "older"


def test_older_stems_are_replaced(tmp_path):
    (tmp_path / "vocals.wav").write_text("older")
    with stem_set(tmp_path) as output:
        output.write(noise(2, 2, 5000))
        output.commit()
    assert soundfile.info(tmp_path / "vocals.wav").frames == 5000


def test_a_folder_someone_else_uses_meanwhile_stays(tmp_path):
    with stem_set(tmp_path / "new" / "song"):
        (tmp_path / "new" / "note.txt").write_text("mine")
    assert everything_in(tmp_path) == ["new", "new/note.txt"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_is_no_folder(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*: got Not a directory; choose another"):
        stem_set(tmp_path / place)
    assert everything_in(tmp_path) == ["file"]


def test_a_stem_whose_name_is_a_folder(tmp_path):
    (tmp_path / "song" / "drums.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*drums.wav: got Is a directory"):
        stem_set(tmp_path / "song")
    assert everything_in(tmp_path) == ["song", "song/drums.wav"]


def test_the_song_itself_is_not_overwritten(tmp_path):
    song = tmp_path / "vocals.wav"
    song.write_text("the song")
    with pytest.raises(UsageError, match=r"a stem would overwrite the song: got .*vocals.wav"):
        stem_set(tmp_path, source=song)
    assert everything_in(tmp_path) == ["vocals.wav"]


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("samples", [5_000, 20_000])  # more than write buffers hold, and less
def test_a_full_disk_leaves_nothing(tmp_path, samples):
    def fill():
        with stem_set(tmp_path / "song") as output:
            for _ in range(40_000 // samples):
                output.write(noise(2, 2, samples))
            output.commit()

    with pytest.raises(OutputError, match=r"cannot write .*vocals.wav: got File too large"):
        fill()
    assert everything_in(tmp_path) == []


def test_shapes_are_checked(tmp_path):
    with stem_set(tmp_path) as output:
        with pytest.raises(ValueError, match=r"bad block: got \(3, 2, 5\), wanted \(2, c, n\)"):
            output.write(noise(3, 2, 5))
        with pytest.raises(ValueError, match=r"bad block: got shape \(1, 5\), wanted \(2, n\)"):
            output.write(noise(2, 1, 5))
    with pytest.raises(ValueError, match="bad subtype: got VORBIS"):
        AudioWriter(tmp_path / "a.wav", 44_100, 1, "VORBIS")
