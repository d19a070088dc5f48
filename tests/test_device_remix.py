"""Examples made by torch on a device against those made of the same parts on the CPU."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from conftest import StemMaker
from stemsplit import device_remix
from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.device_remix import DeviceRemix, fits
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.parts import Part, made
from stemsplit.recipe import Recipe, training_of
from stemsplit.remix import Drawn, Remixer, RemixSettings
from stemsplit.unet_size import UNetSize
from test_dataset import write_folder

CPU = torch.device("cpu")
SAMPLES = 12_000
ALL = RemixSettings(
    coherent=0.5, borrowed=0.3, doubled=0.4, pan=0.7, varispeed=0.16, equalise_db=4.0
)
Audio = npt.NDArray[np.float32]


def both(tracks: list[StoredTrack], settings: RemixSettings, count: int = 12) -> list[Audio]:
    """Make the same examples by either means: (count, stems, 2, samples)."""
    remixer = Remixer(tracks, SAMPLES, settings)
    there = DeviceRemix(tracks, SAMPLES, settings, CPU)
    drawn = [remixer.drawn((1, index)) for index in range(count)]
    got = there.made(there.rows(drawn), count).numpy()
    return [got, np.stack([remixer.example((1, index)).stems for index in range(count)])]


def error_db(got: Audio, wanted: Audio) -> npt.NDArray[np.float64]:
    """Give each stem's error, relative to all that the stem has."""
    error = np.square(got - wanted, dtype=np.float64).sum((2, 3))
    power = np.square(wanted, dtype=np.float64).sum((2, 3))
    assert not error[power == 0].any()
    return np.asarray(10 * np.log10(error[power > 0] / power[power > 0] + 1e-30))


@pytest.fixture
def songs(tmp_path: Path, make_stems: StemMaker) -> list[StoredTrack]:
    """Songs of a second: stereo, mono but for a stem, without drums, and mono."""
    whole = make_stems(1.0, seed=1)
    mono = make_stems(1.0, channels=1, seed=2) | {"other": make_stems(1.0, seed=3)["other"]}
    quiet = {**whole, "drums": 0 * whole["drums"]}
    for name, stems in enumerate((whole, mono, quiet, make_stems(1.0, channels=1, seed=4))):
        write_folder(tmp_path / "songs" / str(name), stems)
    return store_tracks(find_tracks(tmp_path / "songs"), tmp_path / "songs_store")


def test_what_is_only_mixed_is_the_same(songs: list[StoredTrack]) -> None:
    settings = dataclasses.replace(ALL, varispeed=0.0, equalise_db=0.0)
    # Gains are multiplied in another order: a few roundings of float32, 2^-24 each.
    assert error_db(*both(songs, settings)).max() < -120


def test_another_speed_is_soxrs(tmp_path: Path) -> None:
    """With sounds up to 15 kHz, as what either makes of the last octave's end differs."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal((4, 2, 44_100)))
    spectrum[..., 15_000:] = 0
    noise = 0.1 * np.fft.irfft(spectrum).astype(np.float32)
    write_folder(tmp_path / "data" / "song", dict(zip(SOURCES, noise, strict=True)))
    tracks = store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")
    found = both(tracks, dataclasses.replace(ALL, equalise_db=0.0))
    # A cubic through samples at four times the rate errs by 3/128 ω^4 at most, in a middle: at 15
    # kHz ω is 0.53, -55 dB, and 5 dB less in the mean over its places; less below. The stretch's
    # ends are cut elsewhere, so 50 samples at each are left out.
    assert error_db(*(audio[..., 50:-50] for audio in found)).max() < -55


def test_a_tone_is_its_curve(songs: list[StoredTrack]) -> None:
    """Against a transform of the whole part in float64."""
    settings = RemixSettings(coherent=1, equalise_db=4.0, swap=0, flip=0, gain_spread_db=0)
    remixer = Remixer(songs, SAMPLES, settings)
    there = DeviceRemix(songs, SAMPLES, settings, CPU)
    drawn = remixer.drawn((4,))
    (got,) = there.made(there.rows([drawn]), 1).numpy()
    size = 1 << 15
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / 44_100), 1)
    for index, parts in enumerate(drawn.stems):
        for part in parts:
            assert part.tone is not None
            octaves = np.log2(62.5 * 2.0 ** np.arange(9))
            curve = 10 ** (np.interp(np.log2(frequencies), octaves, part.tone) / 20)
            audio = np.broadcast_to(part.stem.read(part.start, SAMPLES), (2, SAMPLES))
            spectrum = np.fft.rfft(audio.astype(np.float64), size)
            wanted = part.gain * np.fft.irfft(spectrum * curve, size)[:, :SAMPLES]
            # What rings longest, the corner at 62.5 Hz, comes round in another length there.
            error = np.square(got[index] - wanted, dtype=np.float64).sum()
            assert error < 1e-4 * np.square(wanted).sum()


def test_all_together_sounds_alike(songs: list[StoredTrack]) -> None:
    # The core filters a tone in frames, which differs where it rings: see test_effects.
    assert np.median(error_db(*both(songs, ALL))) < -30


def test_a_part_past_its_songs_end_is_silent_there(songs: list[StoredTrack]) -> None:
    settings = dataclasses.replace(ALL, doubled=0, borrowed=0)
    longer = 60_000
    there = DeviceRemix(songs, longer, settings, CPU)
    drawn = [Remixer(songs, longer, settings).drawn((2, index)) for index in range(6)]
    stems = there.made(there.rows(drawn), len(drawn))
    assert stems.isfinite().all()
    # A second at the slowest is 44,100 / 0.84 samples, and a tone rings on for some thousand.
    assert stems[..., 57_000:].abs().max() < 1e-3 * stems.abs().max()
    assert stems[..., : 44_100 // 2].abs().amax((2, 3)).max() > 0


def test_a_stem_does_not_run_into_the_next_one(songs: list[StoredTrack]) -> None:
    """Nor past the last one of all."""
    for stem in (songs[0].stems["vocals"], songs[-1].stems["other"]):
        part = Part(stem, 44_100, 44_100 - 5000, 1.0, np.float32(0.5))
        drawn = Drawn(((part,), (), (part, part), ()), np.float32(2), split=True)
        there = DeviceRemix(songs, SAMPLES, RemixSettings(), CPU)
        (got,) = there.made(there.rows([drawn]), 1).numpy()
        wanted = made(part, SAMPLES)
        assert wanted[:, :5000].any()
        # Gains are multiplied in another order.
        np.testing.assert_allclose(got[0], 2 * wanted, rtol=1e-6)
        np.testing.assert_allclose(got[2], 2 * 2**0.5 * wanted, rtol=1e-6)
        assert not got[:, :, 5000:].any()
        assert not got[[1, 3]].any()


def test_mixed_precision_is_the_networks_alone(songs: list[StoredTrack]) -> None:
    there = DeviceRemix(songs, SAMPLES, ALL, CPU)
    rows = there.rows([Remixer(songs, SAMPLES, ALL).drawn((3,))])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = there.made(rows, 1)
    assert torch.equal(mixed, there.made(rows, 1))


def test_a_silent_batch_is_made(songs: list[StoredTrack]) -> None:
    there = DeviceRemix(songs, SAMPLES, ALL, CPU)
    assert not there.made(there.rows([]), 3).any()
    assert there.made(there.rows([]), 3).shape == (3, 4, 2, SAMPLES)


@pytest.mark.parametrize("highest_hz", [math.inf, 8000.0])
def test_a_training_takes_the_batches_made_there(
    songs: list[StoredTrack], highest_hz: float
) -> None:
    songs = [dataclasses.replace(songs[0], highest_hz=highest_hz), *songs[1:]]
    size = UNetSize(widths=(4, 4, 4), squeeze=(4, 4, 4), dilations=(1,))
    settings = BandSettings(batch_size=3, frames=16, size=size, waveform=True)
    remix = dataclasses.replace(ALL, varispeed=0.0, equalise_db=0.0)
    losses = []
    for drawn_on in (None, CPU):
        task = BandTask(
            settings, songs, [], seed=0, remix=remix, measured_on=CPU, drawn_on=drawn_on
        )
        network = task.first_network().eval()
        losses.append(task.loss(network, task.batch(5)))
    # The same stems but for the order of their gains, and sums of some ten thousand squares.
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=1e-5)


def test_a_gpu_holds_what_leaves_most_of_it_free(
    songs: list[StoredTrack], monkeypatch: pytest.MonkeyPatch
) -> None:
    stems = sum(len(track.stems) for track in songs)
    held = 4 * 44_100 * stems  # two channels of 16 bits
    gpu = torch.device("cuda", 0)
    for memory, wanted in ((4 * held, True), (4 * held - 4, False)):
        about = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, about=about: about)
        assert fits(songs, gpu) == wanted
    assert not fits(songs, CPU)


def test_what_cannot_be_made_there_is_refused(songs: list[StoredTrack]) -> None:
    with pytest.raises(ValueError, match="rooms"):
        DeviceRemix(songs, SAMPLES, RemixSettings(reverb=0.1), CPU)
    with pytest.raises(ValueError, match="measured there"):
        BandTask(BandSettings(), songs, [], seed=0, drawn_on=CPU)


@pytest.mark.parametrize(
    ("reverb", "room", "wanted"), [(0, True, 1), (0, False, 0), (0.1, True, 0)]
)
def test_a_recipe_has_its_remixes_made_where_they_can_be(
    songs: list[StoredTrack],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reverb: float,
    room: bool,
    wanted: bool,
) -> None:
    """With a device that is none, as torch has one whose tensors hold nothing."""
    monkeypatch.setattr(device_remix, "fits", lambda *_: room)
    recipe = Recipe(remix={"reverb": reverb}, network={"frames": 16, "batch_size": 1})
    training = training_of(recipe, songs, [], tmp_path / "run", device=torch.device("meta"))
    rows = training.task.batch(0)[1]
    assert (rows.ndim == 2) == wanted
    assert ("remixes" in training.facts) == wanted
