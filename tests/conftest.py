"""What several test files share: a synthetic song, a model with random weights, a full disk."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import settings

from stemsplit.dataset import find_tracks
from stemsplit.material import StoredTrack, store_tracks

# The same examples every time, and no verdict by the clock, which a busy machine fails.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_OF_THE_LIBRARY = {"STEMSPLIT_NUM_THREADS", "STEMSPLIT_KERNEL"}

Signal = npt.NDArray[np.float32]
StemMaker = Callable[..., dict[str, Signal]]
SongWriter = Callable[..., Path]


def _make_stems(
    seconds: float = 2.0, *, sample_rate: int = 44_100, channels: int = 2, seed: int = 0
) -> dict[str, Signal]:
    """Four stems of a tune in which all play, each float32 (channels, samples), peaks below 0.25.

    Vocals are a voice of harmonics with vibrato, drums bursts of noise four times a second, bass
    a low sine, other a sustained chord.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 220 * 2 ** (rng.integers(0, 12) / 12)
    phase = 2 * np.pi * pitch * t + 0.5 * np.sin(2 * np.pi * 5.5 * t)
    harmonics = range(1, 12)
    mono = {
        "vocals": sum(np.sin(k * phase) / k for k in harmonics) / len(harmonics),
        "drums": 0.2 * rng.standard_normal(t.size) * np.exp(-30 * (t % 0.25)),
        "bass": np.sin(2 * np.pi * 55 * t),
        "other": sum(np.sin(2 * np.pi * f * t) for f in (330.0, 440.0, 554.4)) / 3,
    }
    gains = rng.uniform(0.6, 1.0, (len(mono), channels, 1))
    stems = {}
    for (name, signal), gain in zip(mono.items(), gains, strict=True):
        panned = gain * signal
        stems[name] = (0.24 * panned / np.abs(panned).max()).astype(np.float32)
    return stems


def write_folder(
    folder: Path, stems: dict[str, Signal], suffix: str = ".wav", sample_rate: int = 44100
) -> None:
    """Write a track as a folder with a file for each stem."""
    folder.mkdir(parents=True)
    for name, audio in stems.items():
        subtype = "FLOAT" if suffix == ".wav" else None
        soundfile.write(folder / f"{name}{suffix}", audio.T, sample_rate, subtype=subtype)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let this process's files grow to so many bytes and no further, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def binding_permissions() -> Iterator[None]:
    """Let permissions stop root as they stop everyone: this thread, and those it starts."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # linux/capability.h: version 3, this thread
    words = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, words) == 0
    before = words[0]
    words[0] = before & ~0b110  # without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH in effect
    assert libc.capset(header, words) == 0
    try:
        yield
    finally:
        words[0] = before
        assert libc.capset(header, words) == 0


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the configuration, models and variables of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        for name in os.environ:
            if name.startswith("STEMSPLIT_") and name not in _OF_THE_LIBRARY:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def make_stems() -> StemMaker:
    """Give `_make_stems`."""
    return _make_stems


@pytest.fixture
def stored(tmp_path: Path, make_stems: StemMaker) -> list[StoredTrack]:
    """Three songs of a second, in a store."""
    for seed in range(3):
        write_folder(tmp_path / "data" / f"song {seed}", make_stems(1.0, seed=seed))
    return store_tracks(find_tracks(tmp_path / "data"), tmp_path / "store")


@pytest.fixture
def write_song(tmp_path: Path) -> SongWriter:
    """Give a function that writes a synthetic song into the test's folder, by default as WAV."""

    def write(
        name: str = "song.wav",
        seconds: float = 2.0,
        *,
        sample_rate: int = 44_100,
        channels: int = 2,
        subtype: str | None = None,
    ) -> Path:
        stems = _make_stems(seconds, sample_rate=sample_rate, channels=channels)
        mixture = np.sum(list(stems.values()), axis=0)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        container = "OGG" if subtype == "OPUS" else None
        soundfile.write(path, mixture.T, sample_rate, subtype=subtype, format=container)
        return path

    return write


@pytest.fixture(scope="session")
def heeding() -> Callable[[int], list[str]]:
    """Give the beginning of a command line: Python, with a signal at its default.

    Tests may run under nohup or in a shell's background, where what they start ignores some.
    """
    defaults = "import os, signal, sys; signal.signal(int(sys.argv[1]), signal.SIG_DFL); "
    python = [sys.executable, "-c", defaults + "os.execv(sys.executable, sys.argv[2:])"]
    return lambda number: [*python, str(int(number)), sys.executable]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the card of an accepted model of the paper's architecture with seeded random weights."""
    import torch

    from stemsplit.config import SOURCES
    from stemsplit.models import ModelCard, save_model
    from stemsplit.paper_network import PARAMETERS_PER_SOURCE, PaperNetwork, join_sources
    from stemsplit.trust import accept

    path = tmp_path_factory.mktemp("model") / "random.json"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = join_sources([PaperNetwork() for _ in SOURCES])
    card = ModelCard(
        name="random",
        description="Random weights, for tests.",
        architecture="as the paper's",
        sources=SOURCES,
        sample_rate=44_100,
        n_fft=2048,
        hop_length=512,
        bins=513,
        context_frames=12,
        magnitude_power=0.5,
        parameters=PARAMETERS_PER_SOURCE * len(SOURCES),
        sha256="",
    )
    accept(save_model(networks, card, path))
    return path


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file grow past 100 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
