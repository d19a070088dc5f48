"""The packages whose transforms one could use instead, each behind the same three calls.

Every rival takes and gives what suits it best: layouts are its own, so that nobody pays for a
transposition. `spectrum` turns what `stft` gave into (channels, frames, bins) to check it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from typing import Any

import numpy as np


class Rival:
    """A contender: analysis of a stereo signal, its inverse, and the inverse under masks."""

    name = ""
    packages: tuple[str, ...] = ()
    inverts = True

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        self.n_fft, self.hop_length, self.length = n_fft, hop_length, length
        self.threads = threads
        self.window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        """Bring the inputs into the layout the package wants; not timed."""
        self.x, self.masks = x, masks
        self.spec = self.stft()

    def stft(self) -> Any:
        raise NotImplementedError

    def istft(self) -> Any:
        raise NotImplementedError

    def masked(self) -> Any:
        raise NotImplementedError

    def spectrum(self, result: Any) -> np.ndarray:
        return np.asarray(result)

    def signal(self, result: Any) -> np.ndarray:
        return np.asarray(result)


class Torch(Rival):
    """torch.stft and torch.istft: MKL on x86."""

    name = "torch"
    packages = ("torch",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        self.torch_window = self.torch.from_numpy(self.window)

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        self.torch_masks = self.torch.from_numpy(masks).swapaxes(2, 3)
        super().prepare(self.torch.from_numpy(x), masks)

    def stft(self) -> Any:
        return self.torch.stft(
            self.x, self.n_fft, self.hop_length, window=self.torch_window, return_complex=True
        )

    def _invert(self, spec: Any) -> Any:
        return self.torch.istft(
            spec, self.n_fft, self.hop_length, window=self.torch_window, length=self.length
        )

    def istft(self) -> Any:
        return self._invert(self.spec)

    def masked(self) -> Any:
        masked = self.spec[None] * self.torch_masks
        return self._invert(masked.flatten(0, 1)).unflatten(0, masked.shape[:2])

    def spectrum(self, result: Any) -> np.ndarray:
        return result.numpy().swapaxes(1, 2)


class FramedFft(Rival):
    """Frames, window and overlap-add in NumPy around a package's real transform."""

    def rfft(self, frames: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def irfft(self, spec: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def stft(self) -> np.ndarray:
        half = self.n_fft // 2
        padded = np.pad(self.x, ((0, 0), (half, half)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft, axis=1)
        return self.rfft(frames[:, :: self.hop_length] * self.window)

    def _invert(self, spec: np.ndarray) -> np.ndarray:
        frames = self.irfft(spec)
        frames *= self.window
        hop, count = self.hop_length, spec.shape[-2]
        parts = self.n_fft // hop
        total = np.zeros((*spec.shape[:-2], count + parts - 1, hop), np.float32)
        squares = np.zeros((count + parts - 1, hop), np.float32)
        for i in range(parts):
            part = slice(i * hop, (i + 1) * hop)
            total[..., i : i + count, :] += frames[..., part]
            squares[i : i + count] += self.window[part] ** 2
        total /= np.maximum(squares, 1e-9)
        flat = total.reshape(*spec.shape[:-2], -1)
        return flat[..., self.n_fft // 2 : self.n_fft // 2 + self.length]

    def istft(self) -> np.ndarray:
        return self._invert(self.spec)

    def masked(self) -> np.ndarray:
        return self._invert(self.spec[None] * self.masks)


class ScipyFft(FramedFft):
    """scipy.fft, which is pocketfft."""

    name = "scipy.fft"
    packages = ("scipy",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.fft = importlib.import_module("scipy.fft")

    def rfft(self, frames: np.ndarray) -> np.ndarray:
        return self.fft.rfft(frames, workers=self.threads)

    def irfft(self, spec: np.ndarray) -> np.ndarray:
        return self.fft.irfft(spec, self.n_fft, workers=self.threads)


class Ducc(FramedFft):
    """ducc0.fft, pocketfft's successor."""

    name = "ducc0"
    packages = ("ducc0",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.fft = importlib.import_module("ducc0").fft

    def rfft(self, frames: np.ndarray) -> np.ndarray:
        return self.fft.r2c(frames, axes=(frames.ndim - 1,), nthreads=self.threads)

    def irfft(self, spec: np.ndarray) -> np.ndarray:
        return self.fft.c2r(
            spec, axes=(spec.ndim - 1,), lastsize=self.n_fft, forward=False, inorm=2,
            nthreads=self.threads,
        )  # fmt: skip


class PyFftw(FramedFft):
    """FFTW through pyFFTW, plans measured beforehand and kept."""

    name = "pyFFTW"
    packages = ("pyFFTW",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.pyfftw = importlib.import_module("pyfftw")
        importlib.import_module("pyfftw.interfaces.scipy_fft")
        self.pyfftw.interfaces.cache.enable()
        self.pyfftw.interfaces.cache.set_keepalive_time(600)

    def _keywords(self) -> dict[str, Any]:
        return {"workers": self.threads, "planner_effort": "FFTW_MEASURE"}

    def rfft(self, frames: np.ndarray) -> np.ndarray:
        return self.pyfftw.interfaces.scipy_fft.rfft(frames, **self._keywords())

    def irfft(self, spec: np.ndarray) -> np.ndarray:
        return self.pyfftw.interfaces.scipy_fft.irfft(spec, self.n_fft, **self._keywords())


class ShortTimeFft(Rival):
    """scipy.signal.ShortTimeFFT; it adds frames before the first and after the last sample."""

    name = "scipy.signal"
    packages = ("scipy",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.fft = importlib.import_module("scipy.fft")
        signal = importlib.import_module("scipy.signal")
        self.transform = signal.ShortTimeFFT(self.window, hop_length, 44100.0, phase_shift=None)

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        self.x = x
        self.spec = self.stft()
        # The masks of the frames all share, ones for those that only this package has.
        first = -self.transform.p_min
        shape = (len(masks), 1, self.spec.shape[1], self.spec.shape[2])
        self.masks = np.ones(shape, np.float32)
        self.masks[..., first : first + masks.shape[2]] = masks.swapaxes(2, 3)

    def stft(self) -> np.ndarray:
        with self.fft.set_workers(self.threads):
            return self.transform.stft(self.x, padding="even")

    def istft(self) -> np.ndarray:
        with self.fft.set_workers(self.threads):
            return self.transform.istft(self.spec, k1=self.length)

    def masked(self) -> np.ndarray:
        with self.fft.set_workers(self.threads):
            return self.transform.istft(self.spec[None] * self.masks, k1=self.length)

    def spectrum(self, result: np.ndarray) -> np.ndarray:
        first = -self.transform.p_min
        frames = 1 + self.length // self.hop_length
        return result[..., first : first + frames].swapaxes(1, 2)


class Librosa(Rival):
    """librosa.stft and librosa.istft over scipy.fft."""

    name = "librosa"
    packages = ("librosa", "scipy")

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.librosa = importlib.import_module("librosa")
            self.fft = importlib.import_module("scipy.fft")
            self.librosa.set_fftlib(self.fft)

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        super().prepare(x, masks.swapaxes(2, 3))

    def stft(self) -> np.ndarray:
        with self.fft.set_workers(self.threads):
            return self.librosa.stft(
                self.x, n_fft=self.n_fft, hop_length=self.hop_length, pad_mode="reflect"
            )

    def _invert(self, spec: np.ndarray) -> np.ndarray:
        with self.fft.set_workers(self.threads):
            return self.librosa.istft(spec, hop_length=self.hop_length, length=self.length)

    def istft(self) -> np.ndarray:
        return self._invert(self.spec)

    def masked(self) -> np.ndarray:
        return self._invert(self.spec[None] * self.masks)

    def spectrum(self, result: np.ndarray) -> np.ndarray:
        return result.swapaxes(1, 2)


class Auvux(Rival):
    """auvux-dsp: PFFFT."""

    name = "auvux-dsp"
    packages = ("auvux-dsp",)

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.dsp = importlib.import_module("auvux.dsp")
        self.dsp.set_num_threads(threads)
        self.keywords = {"sr": 44100, "n_fft": n_fft, "hop_length": hop_length, "backend": "cpu"}

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        super().prepare(x, masks.swapaxes(2, 3))

    def stft(self) -> np.ndarray:
        return self.dsp.stft(self.x, pad_mode="reflect", **self.keywords)

    def istft(self) -> np.ndarray:
        return self.dsp.istft(self.spec, length=self.length, **self.keywords)

    def masked(self) -> np.ndarray:
        return self.dsp.istft(self.spec[None] * self.masks, length=self.length, **self.keywords)

    def spectrum(self, result: np.ndarray) -> np.ndarray:
        return result.swapaxes(1, 2)


class Spectrofast(Rival):
    """spectrofast: FFTW, in double precision, one thread, forward only."""

    name = "spectrofast"
    packages = ("spectrofast",)
    inverts = False

    def __init__(self, n_fft: int, hop_length: int, length: int, threads: int) -> None:
        super().__init__(n_fft, hop_length, length, threads)
        self.spectrogram = importlib.import_module("spectrofast").spectrogram

    def prepare(self, x: np.ndarray, masks: np.ndarray) -> None:
        half = self.n_fft // 2
        padded = np.pad(x.astype(np.float64), ((0, 0), (half, half)), mode="reflect")
        super().prepare(padded, masks)

    def stft(self) -> np.ndarray:
        return self.spectrogram(
            self.x, window=self.window.astype(np.float64), nperseg=self.n_fft,
            noverlap=self.n_fft - self.hop_length, detrend=False, scaling="spectrum",
            mode="complex", use_wisdom=False,
        )[2]  # fmt: skip

    def spectrum(self, result: np.ndarray) -> np.ndarray:
        return result.swapaxes(1, 2) * self.n_fft


ALL: tuple[type[Rival], ...] = (
    Torch,
    ScipyFft,
    ShortTimeFft,
    Librosa,
    PyFftw,
    Ducc,
    Auvux,
    Spectrofast,
)


def installed() -> tuple[list[type[Rival]], list[str]]:
    """Rivals whose packages are here, and the names of those that are not."""
    here, absent = [], []
    for rival in ALL:
        try:
            for package in rival.packages:
                importlib.metadata.version(package)
            here.append(rival)
        except importlib.metadata.PackageNotFoundError:
            absent.append(rival.name)
    return here, absent
