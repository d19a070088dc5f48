"""Examples made by torch on a device against those made of the same parts on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from conftest import StemMaker
from stemsplit.band_task import BandSettings, BandTask
from stemsplit.config import SOURCES
from stemsplit.dataset import find_tracks
from stemsplit.device_remix import DeviceRemix, fits
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.remix import Remixer, RemixSettings
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
    """Songs of a second, one of them mono but for a stem, one without drums."""
    whole = make_stems(1.0, seed=1)
    mono = make_stems(1.0, channels=1, seed=2) | {"other": make_stems(1.0, seed=3)["other"]}
    for name, stems in (("a", whole), ("b", mono), ("c", {**whole, "drums": 0 * whole["drums"]})):
        write_folder(tmp_path / "songs" / name, stems)
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
            # Beyond 0.92 of the band there is nothing left here; what rings longest, the corner at
            # 62.5 Hz, comes round in another length there.
            spectra = [np.fft.rfft(a, size)[:, : int(0.9 * size / 2)] for a in (got[index], wanted)]
            error = np.square(np.abs(spectra[0] - spectra[1])).sum()
            assert error < 1e-4 * np.square(np.abs(spectra[1])).sum()


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


def test_a_silent_batch_is_made(songs: list[StoredTrack]) -> None:
    there = DeviceRemix(songs, SAMPLES, ALL, CPU)
    assert not there.made(there.rows([]), 3).any()
    assert there.made(there.rows([]), 3).shape == (3, 4, 2, SAMPLES)


def test_a_training_takes_the_batches_made_there(songs: list[StoredTrack]) -> None:
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


def test_a_cpu_holds_nothing(songs: list[StoredTrack]) -> None:
    assert not fits(songs, CPU)
