# Types of the extension module; stemsplit.dsp is its public face.
import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float32]
_Complex = NDArray[np.complex64]
_Window = NDArray[np.float32] | NDArray[np.float64] | None

def stft(
    x: _Float,
    n_fft: int,
    hop_length: int,
    window: _Window,
    out: _Complex | None,
    threads: int,
    kernel: str,
) -> _Complex: ...
def band_powers(spec: _Complex, edges: list[int], threads: int) -> _Float: ...

class Spread:
    def __init__(self, below: list[int], weights: list[float], values: int) -> None: ...

def istft(
    spec: _Complex,
    masks: _Float | None,
    spread: Spread | None,
    n_fft: int,
    hop_length: int,
    window: _Window,
    length: int,
    out: _Float | None,
    threads: int,
    kernel: str,
) -> _Float: ...
def hann_window(n_fft: int) -> _Float: ...
def kernel_name(kernel: str) -> str: ...
def available_kernels() -> list[str]: ...

class StftStream:
    def __init__(
        self,
        channels: int,
        n_fft: int,
        hop_length: int,
        window: _Window,
        threads: int,
        kernel: str,
    ) -> None: ...
    def process(self, block: _Float) -> _Complex: ...
    def finish(self) -> _Complex: ...

class IstftStream:
    def __init__(
        self,
        channels: int,
        n_fft: int,
        hop_length: int,
        window: _Window,
        stems: int,
        spread: Spread | None,
        threads: int,
        kernel: str,
    ) -> None: ...
    def process(self, spec: _Complex, masks: _Float | None) -> _Float: ...
    def finish(self, length: int) -> _Float: ...
