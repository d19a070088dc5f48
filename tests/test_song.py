"""A file separated into files: null tests, levels, names, and refusals before the work."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemsplit.config import SOURCES
from stemsplit.errors import AudioError, NoSpaceError, OutputError, UsageError
from stemsplit.outputs import OutputOptions
from stemsplit.separate import Separator
from stemsplit.song import separate_file
from stemsplit.store import OutputStore
from stemsplit.tags import Tags, copy_tags, read_tags
from stemsplit.writer import SongWriter

# Each file is rounded to half a step, and so is the song; the worst case of a sum is theirs.
STEP = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 2**-23}
MINUS_90_DB = 10 ** (-90 / 20)


@pytest.fixture(scope="module")
def separator(random_model: Path) -> Separator:
    return Separator(str(random_model), "cpu", threads=1)


@pytest.fixture
def run(separator, tmp_path):
    """Separate a file into the test's folder by these options."""

    def run(song, folder="out", track=None, overwrite=True, **options):
        return separate_file(
            song,
            tmp_path / folder,
            separator=separator,
            options=OutputOptions(**options),
            track=track,
            overwrite=overwrite,
        )

    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(result):
    return {name: soundfile.read(path, dtype="float64")[0] for name, path in result.stems.items()}


@pytest.mark.parametrize(
    ("kind", "depth", "subtype"),
    [
        ("wav", "source", "PCM_16"),
        ("wav", "24", "PCM_24"),
        ("wav", "float32", "FLOAT"),
        ("flac", "16", "PCM_16"),
        ("flac", "24", "PCM_24"),
        ("aiff", "16", "PCM_16"),
        ("aiff", "24", "PCM_24"),
        ("aiff", "float32", "FLOAT"),
    ],
)
@pytest.mark.parametrize(
    "choice",
    [{"residual": True}, {"two_stems": "vocals"}, {"stems": ("drums",), "residual": True}],
)
def test_files_null_against_the_song(run, write_song, kind, depth, subtype, choice):
    # A rate that is resampled on the way; test_every_rate has more.
    song = write_song(seconds=0.3, sample_rate=48_000, subtype="PCM_16")
    result = run(song, format=kind, bit_depth=depth, **choice)
    files = read(result)
    assert {soundfile.info(path).subtype for path in result.stems.values()} == {subtype}
    difference = sum(files.values()) - soundfile.read(song)[0]
    assert np.abs(difference).max() <= STEP[subtype] * (len(files) + 1) / 2
    level = np.sqrt(np.mean(difference**2))
    # Rounding of each file, spread evenly over a step, adds up to no more than this.
    floor = STEP[subtype] * np.sqrt(len(files) / 12)
    assert level <= max(MINUS_90_DB, floor)


@pytest.mark.parametrize("kind", ["ogg", "mp3"])
def test_lossy_files_are_the_stems_at_their_place(run, write_song, kind):
    song = write_song(seconds=1.0)
    lossy = read(run(song, "a", format=kind, stems=("vocals", "bass")))
    exact = read(run(song, "b", bit_depth="float32", stems=("vocals", "bass")))
    for name, stem in exact.items():
        assert lossy[name].shape == stem.shape
        # These codecs at these rates leave errors 20 dB and more below tones.
        assert np.linalg.norm(lossy[name] - stem) < 0.1 * np.linalg.norm(stem)


def test_two_stems_are_the_stem_and_the_song_without_it(run, write_song):
    song = write_song(seconds=0.5, subtype="FLOAT")
    two = read(run(song, "a", two_stems="bass"))
    assert list(two) == ["bass", "no_bass"]
    np.testing.assert_array_equal(two["bass"], read(run(song, "b"))["bass"])


def test_the_residual_is_what_the_written_stems_leave(run, write_song):
    song = write_song(seconds=0.5, subtype="FLOAT")
    everything = read(run(song, "a", residual=True))
    some = read(run(song, "b", stems=("vocals",), residual=True))
    missing = sum(everything[name] for name in (*SOURCES[1:], "residual"))
    assert np.abs(some["residual"] - missing).max() < 2 * STEP["FLOAT"]


@pytest.fixture
def loud_song(tmp_path):
    """Write a song at full scale whose stems go beyond it: parts of it cancel one another."""
    rng = np.random.default_rng(0)
    t = np.arange(44_100) / 44_100
    signal = np.sign(np.sin(2 * np.pi * 110 * t)) + 0.05 * rng.standard_normal(t.size)
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.clip(signal, -1, 1 - 2**-15), 44_100, subtype="PCM_16")
    return path


def test_stems_that_would_clip_share_one_gain(run, loud_song):
    result = run(loud_song, two_stems="drums")
    gain = 10 ** (result.gain_db / 20)
    assert 0.2 < gain < 0.99
    assert result.clipped == {}
    files = read(result)
    assert max(np.abs(stem).max() for stem in files.values()) >= 1 - 2 * STEP["PCM_16"]
    difference = sum(files.values()) - gain * soundfile.read(loud_song)[0]
    # The loudest sample is one step below full scale, where there is no more room.
    assert np.abs(difference).max() <= 2 * STEP["PCM_16"]


def test_clip_keep_counts_and_clip_float_keeps(run, loud_song):
    kept = run(loud_song, "a", two_stems="drums", clip="keep")
    assert kept.gain_db == 0
    assert sum(kept.clipped.values()) > 0
    floats = run(loud_song, "b", two_stems="drums", clip="float")
    assert (floats.gain_db, floats.clipped) == (0, {})
    difference = sum(read(floats).values()) - soundfile.read(loud_song)[0]
    assert np.abs(difference).max() <= 4 * STEP["FLOAT"]


def test_a_stem_file(run, write_song):
    result = run(write_song(seconds=0.5), format="stem", filename="{track}.{ext}")
    assert list(result.stems) == ["mixture", "drums", "bass", "other", "vocals"]
    (path,) = set(result.stems.values())
    assert path.name == "song.stem.mp4"


def test_tags_go_with_the_stems(run, write_song):
    song = write_song("song.flac", 0.3)
    tags = Tags({"title": ["Song"], "artist": ["Ada"]}, ("image/png", b"png"))
    copy_tags(tags, {"": song}, track="")
    stem = run(song, "a", format="mp3").stems["bass"]
    assert read_tags(stem).fields == {"title": ["Song () (bass)"], "artist": ["Ada"]}
    assert read_tags(stem).cover == tags.cover
    assert read_tags(run(song, "b", format="mp3", tags=False).stems["bass"]) == Tags()


def test_the_same_song_gives_the_same_bytes(run, write_song):
    song = write_song(seconds=0.5)
    for kind in ("wav", "flac", "ogg", "mp3", "aiff", "stem"):
        one, two = (
            run(song, folder, format=kind, filename="{stem}.{ext}").stems for folder in "ab"
        )
        for name, path in one.items():
            assert path.read_bytes() == two[name].read_bytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_depth_and_channel(run, write_song, channels, subtype):
    song = write_song(seconds=0.2, channels=channels, subtype=subtype)
    files = read(run(song, residual=True))
    mixture = soundfile.read(song)[0]
    assert files["bass"].shape == mixture.shape
    assert np.abs(sum(files.values()) - mixture).max() <= 3 * STEP["PCM_16"]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 88_200, 96_000, 192_000])
def test_every_rate(run, write_song, rate):
    song = write_song(seconds=0.2, sample_rate=rate, subtype="PCM_24")
    result = run(song, two_stems="vocals")
    difference = sum(read(result).values()) - soundfile.read(song)[0]
    assert np.abs(difference).max() <= 1.5 * STEP["PCM_24"]
    assert result.sample_rate == rate


@settings(max_examples=25)
@given(
    samples=st.integers(1, 3000) | st.sampled_from([2047, 2048, 2049]),
    channels=st.integers(1, 3),
    rate=st.sampled_from([8_000, 22_050, 44_100, 48_000]),
    subtype=st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]),
    level=st.sampled_from([0.0, 1e-40, 0.01, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_song_keeps_its_length_and_nulls(
    separator, tmp_path_factory, samples, channels, rate, subtype, level, seed
):
    folder = tmp_path_factory.mktemp("song")
    rng = np.random.default_rng(seed)
    mixture = level * rng.uniform(-1, 1, (samples, channels))
    soundfile.write(folder / "song.wav", mixture, rate, subtype=subtype)
    options = OutputOptions(residual=True)
    result = separate_file(
        folder / "song.wav", folder / "out", separator=separator, options=options
    )
    files = read(result)
    gain = 10 ** (result.gain_db / 20)
    assert {len(stem) for stem in files.values()} == {samples}
    difference = sum(np.atleast_2d(stem.T).T for stem in files.values())
    difference -= gain * soundfile.read(folder / "song.wav", always_2d=True)[0]
    # Rounding of each file and, where a gain was needed, of one step at full scale.
    assert np.abs(difference).max() <= STEP[subtype] * (len(files) + 3) / 2


def test_stems_of_another_song_stay(run, write_song, tmp_path):
    """As where two runs begin at once with songs of one name: one finds the other's stems."""
    run(write_song("a/song.wav", seconds=0.1), track="song")
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.wav")}
    other = write_song("b/song.wav", seconds=0.2)
    with pytest.raises(OutputError, match="did not make for this song"):
        run(other, track="song", overwrite=False)
    run(other, track="song", overwrite=False, format="flac")
    with pytest.raises(OutputError, match="did not make for this song"):
        run(other, track="song", overwrite=False)
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*.wav")} == before
    run(other, track="song")


def test_stems_of_another_song_that_come_meanwhile_stay(run, write_song, tmp_path, monkeypatch):
    first, second = write_song("a/song.wav", seconds=0.1), write_song("b/song.wav", seconds=0.2)
    begin = OutputStore.begin

    def begin_late(store, track):
        monkeypatch.setattr(OutputStore, "begin", begin)
        run(first, track="song")
        return begin(store, track)

    monkeypatch.setattr(OutputStore, "begin", begin_late)
    with pytest.raises(OutputError, match="did not make for this song"):
        run(second, track="song", overwrite=False)
    assert len(soundfile.read(tmp_path / "out" / "bass.wav")[0]) == 4410


def test_a_stem_that_was_changed_stays(run, write_song, tmp_path):
    song = write_song(seconds=0.1)
    run(song)
    (tmp_path / "out/bass.wav").write_bytes(b"what I made of it")
    with pytest.raises(OutputError, match="got a stem that was changed since"):
        run(song, overwrite=False)
    assert (tmp_path / "out/bass.wav").read_bytes() == b"what I made of it"
    run(song)
    run(song, format="flac")
    (tmp_path / "out/bass.wav").write_bytes(b"of an earlier run")
    with pytest.raises(OutputError, match="got a stem that was changed since"):
        run(song, overwrite=False)


def test_a_song_among_its_own_stems(run, write_song, tmp_path):
    song = write_song("out/vocals.wav", 0.1)
    with pytest.raises(UsageError, match=r"a stem would overwrite the song: got .*vocals.wav"):
        run(song)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["vocals.wav"]


def test_files_that_are_not_ours_stay(run, write_song, tmp_path):
    song = write_song(seconds=0.1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/bass.wav").write_text("a take")
    with pytest.raises(OutputError, match=r"bass.wav is there already.*--force to replace"):
        run(song, overwrite=False)
    assert (tmp_path / "out/bass.wav").read_text() == "a take"
    run(song)
    run(song, overwrite=False)
    run(song, overwrite=False, format="flac")
    run(song, overwrite=False)  # those of the run before the last are ours still


def test_a_folder_in_the_way(run, write_song, tmp_path):
    (tmp_path / "out/drums.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*drums.wav: got a folder of that name"):
        run(write_song(seconds=0.1))


@pytest.mark.parametrize(
    ("filename", "message"),
    [
        ("{track}" * 60 + "/{stem}.{ext}", "File name too long"),
        ("{stem}{track}" + "x" * 250 + ".wav", "File name too long"),
        ("file/{stem}.{ext}", "file is no folder"),
    ],
)
def test_a_place_that_cannot_be_is_found_out_first(
    run, write_song, tmp_path, monkeypatch, filename, message
):
    monkeypatch.setattr(Separator, "separate_blocks", None)
    song = write_song(seconds=0.1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_text("")
    with pytest.raises(OutputError, match=message):
        run(song, track="track", filename=filename)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_a_place_on_another_disk_is_found_out_first(run, write_song, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/elsewhere").symlink_to("/dev/shm")
    monkeypatch.setattr(Separator, "separate_blocks", None)
    with pytest.raises(OutputError, match=r"another disk than that of .*out"):
        run(write_song(seconds=0.1), filename="elsewhere/{stem}.{ext}")


def test_a_song_that_does_not_fit_the_format(run, write_song, tmp_path):
    song = write_song(seconds=0.1, sample_rate=96_000)
    with pytest.raises(AudioError, match=r"mp3 cannot hold the sample rate of .*\.wav"):
        run(song, format="mp3")
    assert not (tmp_path / "out").exists()


def test_too_little_space_is_found_out_first(run, write_song, tmp_path, monkeypatch):
    class Usage:
        free = 1_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    run(write_song("short.wav", 0.1))
    # 4 stems of 88,200 samples and 2 channels wait as floats and become 16 bit: 4.2 MB.
    with pytest.raises(NoSpaceError, match="got 1 MB free, wanted about 4 MB") as caught:
        run(write_song("long.wav", 2), "other")
    assert caught.value.exit_code == 74
    assert not (tmp_path / "other").exists()


def test_a_header_that_lies_about_the_length_is_no_reason_to_refuse(run, write_song, monkeypatch):
    class Usage:
        free = 10_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    song = write_song("song.flac", 1)
    data = bytearray(song.read_bytes())
    data[21] |= 0x0F  # STREAMINFO's length in samples: 36 bits, now some 17 days
    data[22:26] = b"\xff\xff\xff\xff"
    song.write_bytes(data)
    with pytest.warns(UserWarning, match=r"says: got 44100 samples, wanted \d+ as its header"):
        assert run(song).samples == 44_100


def test_a_failure_leaves_the_earlier_stems(run, write_song, tmp_path, monkeypatch):
    def fail(_writer):
        raise OutputError("cannot write", got="a full disk")

    song = write_song(seconds=0.1)
    run(song)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(SongWriter, "finish", fail)
    with pytest.raises(OutputError, match="a full disk"):
        run(song, overwrite=False)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff", "stem"])
def test_all_is_synced_before_it_gets_its_name(run, write_song, monkeypatch, kind):
    synced, moved, folders = {}, [], []
    fsync, rename = os.fsync, Path.replace

    def state(status):
        return status.st_size, status.st_mtime_ns

    def sync(descriptor):
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            folders.append(status.st_ino)
        synced[status.st_ino] = state(status)
        fsync(descriptor)

    def replace(path, target):
        if path.parent.suffix == ".part":
            status = path.stat()
            assert synced.get(status.st_ino) == state(status), path
            if path.name == "manifest.json":
                assert {parent.stat().st_ino for parent in moved} <= set(folders)
            else:
                moved.append(Path(target).parent)
        return rename(path, target)

    song = write_song("song.flac", 0.1)
    copy_tags(Tags({"title": "A song"}), {"song": song}, track="song")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    run(song, format=kind)
    assert moved
