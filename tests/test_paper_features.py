"""What the paper's network sees and is taught."""

from __future__ import annotations

import numpy as np

from conftest import StemMaker
from stemsplit import dsp
from stemsplit.config import SOURCES, StftSettings
from stemsplit.paper_features import network_magnitudes, teaching_pair

SETTINGS = StftSettings(44100, 2048, 512)


def test_a_full_scale_sine_has_magnitude_one_whatever_n_fft() -> None:
    for factor in (1, 2):
        rate, n_fft = 44100 * factor, 2048 * factor
        frequency = 100 * 44100 / 2048  # the centre of bin 100 in both
        sine = np.sin(2 * np.pi * frequency * np.arange(rate) / rate).astype(np.float32)
        spec = dsp.stft(np.stack([sine, sine]), n_fft, 512 * factor)
        seen = network_magnitudes(spec, n_fft, 513, 0.5)
        assert seen.shape == (spec.shape[1], 513)
        # Inside, where no padding reaches; float32 transform.
        np.testing.assert_allclose(seen[4:-4, 100], 1, atol=1e-5)


def test_channels_in_opposite_phase_do_not_cancel() -> None:
    noise = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    both = dsp.stft(np.stack([noise, -noise]), 2048, 512)
    alone = dsp.stft(noise[None], 2048, 512)
    # Bins far below the spectrum's peaks carry the rounding of the float32 transform.
    np.testing.assert_allclose(
        network_magnitudes(both, 2048, 513, 1.0),
        network_magnitudes(alone, 2048, 513, 1.0),
        rtol=1e-5,
        atol=1e-7,
    )


def test_targets_are_where_a_source_exceeds_all_else(make_stems: StemMaker) -> None:
    named = make_stems(0.5)
    stems = np.stack([named[source] for source in SOURCES])
    mixture = stems.sum(axis=0)
    magnitudes, targets = teaching_pair(stems, mixture, SETTINGS, 513, 1 / 3)
    assert magnitudes.dtype == np.float32
    assert targets.shape == (4, *magnitudes.shape)
    reference = np.abs(np.stack([dsp.stft(stem, 2048, 512) for stem in stems])[..., :513]) ** 2
    rest = [dsp.stft(mixture - stem, 2048, 512)[..., :513] for stem in stems]
    wanted = reference.sum(axis=1) > (np.abs(np.stack(rest)) ** 2).sum(axis=1)
    # Bins in which both are equal but for rounding may fall either way.
    assert (wanted == targets).mean() > 0.999
    bass = SOURCES.index("bass")
    assert targets[bass, 10, 55 * 2048 // 44100]  # 55 Hz, where only the bass sounds
