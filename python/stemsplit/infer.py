"""Runs a model's network over stretches of spectrogram: where a song meets torch."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from stemsplit.errors import DeviceError, ModelError, OutOfMemoryError, UsageError
from stemsplit.models import ModelCard, load_network, quiet_torchscript
from stemsplit.probe import check_answers
from stemsplit.scheme import scheme_of

FloatArray = npt.NDArray[np.float32]

# Frames predicted at a time: few compute much context twice, and many cost memory, of which one
# that works on bands needs little.
_CPU_FRAMES = 256
_CUDA_FRAMES = 1024
_BAND_FRAMES = 2048
# A device that has no memory for so few has none for the network.
_LEAST_FRAMES = 16
# What cuDNN may do is set for the whole process, so two networks must not set it at once.
_CUDNN = threading.Lock()


def choose_device(device: str) -> torch.device:
    """Give the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means on this machine.

    ``auto`` is CUDA where there is a device, else the CPU. An explicit wish is met or refused.

    Raises
    ------
    DeviceError
        CUDA, or that device of it, is not there.
    UsageError
        Another word.
    """
    if device == "cpu":
        return torch.device("cpu")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise UsageError("bad device", got=device, wanted="auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError(
            f"device {device} is not there",
            got=f"{count} CUDA devices" if count else "no CUDA device, or a CPU build of PyTorch",
            wanted="a CUDA device and a CUDA build of PyTorch",
            remedy="pass --device cpu or auto",
        )
    return torch.device("cuda", index)


def choose_precision(precision: str, device: torch.device, card: ModelCard) -> torch.dtype:
    """Give the type that ``auto``, ``float32`` or ``half`` means for a model on a device.

    ``half`` is float16 on CUDA and bfloat16 on the CPU. ``auto`` is ``half`` on CUDA; on the CPU it
    is ``half`` for models that work on bands where the processor multiplies bfloat16, which is
    twice as fast there and moves no metric (benchmarks/README.md), and ``float32`` elsewhere.

    Raises
    ------
    UsageError
        Another word.
    """
    if precision not in ("auto", "float32", "half"):
        raise UsageError("bad precision", got=precision, wanted="auto, float32 or half")
    if device.type == "cpu":
        pays = precision == "auto" and card.bands > 0 and _multiplies_bfloat16()
        return torch.bfloat16 if precision == "half" or pays else torch.float32
    return torch.float32 if precision == "float32" else torch.float16


def _multiplies_bfloat16() -> bool:
    """Tell whether this processor has instructions for bfloat16 that oneDNN uses."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # older PyTorch does not tell
    capabilities: dict[str, object] = tell() if tell is not None else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def _true_float32(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Keep cuDNN from TF32, to whose 10 bits of mantissa its convolutions round by default."""
    if device.type != "cuda" or dtype != torch.float32:
        yield
        return
    cudnn = torch.backends.cudnn
    with (
        _CUDNN,
        cudnn.flags(
            enabled=cudnn.enabled,
            benchmark=cudnn.benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=False,
        ),
    ):
        yield


class _DeviceIsFullError(Exception):
    """The device has no memory for what it was asked to do."""


def _named(error: RuntimeError, card: ModelCard) -> Exception:
    """Tell what an error of a network means: TorchScript makes one kind of all, but for its text.

    Torch on the host, and what it calls, have no other way to say that memory is out either.
    """
    text = str(error)
    if "DefaultCPUAllocator" in text or "bad_alloc" in text:
        return MemoryError(text)
    full = "out of memory" in text or "ALLOC_FAILED" in text  # the latter from cuBLAS and cuDNN
    if full or isinstance(error, torch.cuda.OutOfMemoryError):
        return _DeviceIsFullError(text)
    reason = text.strip().split("\n")[-1][:300]
    if "CUDA" in text:
        return DeviceError("the device failed", got=reason, remedy="try again with --device cpu")
    return ModelError(f"the network of model {card.name} failed", got=reason)


def _widest(card: ModelCard, network: torch.nn.Module) -> float:
    """Give the channels of a network's largest layer, were it as fine as the input.

    Each level of one that works on bands has a quarter of the bands times frames of the one above.
    """
    weights = [named for named in network.named_parameters() if named[1].ndim == 4]
    widths: dict[str, int] = {name: weight.shape[0] for name, weight in weights}
    if not card.bands:
        return max(widths.values(), default=1)
    finest = next((width for width in widths.values() if width > 1), 1)
    deeper = [width for name, width in widths.items() if name.startswith("shrink.")]
    return max(width / 4.0**level for level, width in enumerate([finest, *deeper]))


class Predictor:
    """A loaded network and its scheme.

    Parameters
    ----------
    card_path:
        The model's card.
    device:
        Where to run.
    precision:
        Of the network's arithmetic: ``auto``, ``float32`` or ``half``, see `choose_precision`.
    trusted_sha256:
        Of weights that the caller vouches for.
    on_warning:
        Called with a line when the device's memory does not suffice for the frames at a time;
        `warnings.warn` by default.

    Raises
    ------
    ModelError
        See `stemsplit.models.load_network`.
    """

    def __init__(
        self,
        card_path: Path,
        device: torch.device,
        precision: str = "auto",
        *,
        trusted_sha256: str | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.card, network = load_network(card_path, device, trusted_sha256)
        self._dtype = choose_precision(precision, device, self.card)
        self.scheme = scheme_of(self.card)
        self.device = device
        self._warn = on_warning or (lambda line: warnings.warn(line, RuntimeWarning, stacklevel=2))
        self.widest = _widest(self.card, network)
        network = network.to(self._dtype)
        # Channels last spares the convolutions a change of layout before and after each.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with quiet_torchscript():
            self._network = torch.jit.freeze(network)
        paper_frames = _CPU_FRAMES if device.type == "cpu" else _CUDA_FRAMES
        self._frames = _BAND_FRAMES if self.card.bands else paper_frames

    @property
    def frames_at_once(self) -> int:
        """How many frames the network predicts at a time, at the most."""
        return self._frames

    @property
    def precision(self) -> str:
        """Of the network's arithmetic: ``float32``, ``bfloat16`` or ``float16``."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def number_bytes(self) -> int:
        """Of each number in its layers."""
        return self._dtype.itemsize

    @property
    def on_host(self) -> bool:
        """Whether the network works in the machine's memory, not in that of a device."""
        return self.device.type == "cpu"

    def answers(self, seen: FloatArray) -> FloatArray:
        """Run the network over every frame that has its context.

        Parameters
        ----------
        seen:
            float32 (batch, frames + 2 · context_frames, ...), as the model's `scheme.Scheme` gives
            it; zeros stand for frames outside the song.

        Returns
        -------
        numpy.ndarray
            float32 (batch, sources, ..., frames, bins or bands), 0 to 1.

        Raises
        ------
        OutOfMemoryError
            The device has no memory for the fewest frames.
        DeviceError, ModelError, MemoryError
            The device or the network fails, or the machine's memory is out.
        """
        context = 2 * self.card.context_frames
        frames = seen.shape[1] - context
        pieces = []
        start = 0
        halved = False
        while start < frames:
            stop = min(start + self._frames, frames)
            try:
                pieces.append(self._answer(seen[:, start : stop + context]))
            except _DeviceIsFullError:
                torch.cuda.empty_cache()  # does nothing where there is no CUDA
                self._halve(stop - start)
                halved = True
            else:
                start = stop
                if halved:
                    self._say_halved()
                    halved = False
        return np.concatenate(pieces, axis=-2)

    def _answer(self, piece: FloatArray) -> FloatArray:
        """Run the network over one piece, and see that it gives masks."""
        frames = piece.shape[1] - 2 * self.card.context_frames
        missing = -piece.shape[1] % self.card.frame_multiple
        if missing:
            padding = [(0, 0), (0, missing)] + [(0, 0)] * (piece.ndim - 2)
            piece = np.pad(piece, padding)
        try:
            with torch.inference_mode(), _true_float32(self.device, self._dtype):
                answers = self._network(torch.from_numpy(piece).to(self.device, self._dtype))
            # CUDA tells of what fails in the network when its answers are first looked at.
            shape = self.scheme.answers_shape(len(piece), frames + missing)
            check_answers(self.card, answers, shape)
            answer: FloatArray = answers[..., :frames, :].float().cpu().numpy()
        except RuntimeError as error:
            raise _named(error, self.card) from error
        return answer

    def _halve(self, frames: int) -> None:
        """Take half of so many frames at a time from now on, as the device's memory is full.

        Masks depend on their context only, so the result stays what it was.
        """
        multiple = self.card.frame_multiple
        fewer = frames // 2 // multiple * multiple
        if fewer < _LEAST_FRAMES:
            raise OutOfMemoryError(
                f"out of memory on {self.device}",
                got=f"no room for {self._seconds(frames):.2f} s of song",
                remedy="end what else uses the device, or pass --device cpu",
            )
        self._frames = min(self._frames, fewer)  # another song may have halved it further

    def _say_halved(self) -> None:
        self._warn(
            f"out of memory on {self.device}: the segment is halved to "
            f"{self._seconds(self._frames):.2f} s, which is slower and gives the same stems"
        )

    def _seconds(self, frames: int) -> float:
        return frames * self.card.hop_length / self.card.sample_rate
