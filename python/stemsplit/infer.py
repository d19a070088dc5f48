"""Runs a model's network over stretches of spectrogram: where a song meets torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit.answers import Answers, Network
from stemsplit.errors import DeviceError, UsageError
from stemsplit.models import ModelCard, load_network, quiet_torchscript
from stemsplit.probe import carries
from stemsplit.scheme import scheme_of

FloatArray = npt.NDArray[np.float32]

# Frames predicted at a time: few compute much context twice, and many cost memory, of which one
# that works on bands needs little.
_CPU_FRAMES = 256
_CUDA_FRAMES = 1024
_BAND_FRAMES = 2048


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

    ``half`` is float16 on CUDA and bfloat16 on the CPU. ``auto`` is ``half`` for models that work
    on bands, as it moves no metric of `base` and `tiny` that was measured (benchmarks/README.md),
    on CUDA and where the processor multiplies bfloat16, which is twice as fast there, and
    ``float32`` elsewhere.

    Raises
    ------
    UsageError
        Another word.
    """
    if precision not in ("auto", "float32", "half"):
        raise UsageError("bad precision", got=precision, wanted="auto, float32 or half")
    cuda = device.type == "cuda"
    pays = precision == "auto" and card.bands > 0 and (cuda or _multiplies_bfloat16())
    if precision == "half" or pays:
        return torch.float16 if cuda else torch.bfloat16
    return torch.float32


def _multiplies_bfloat16() -> bool:
    """Tell whether this processor has instructions for bfloat16 that oneDNN uses."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # older PyTorch does not tell
    capabilities: dict[str, object] = tell() if tell is not None else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


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


class _GoesOn(torch.nn.Module):
    """Only what a network that goes on needs for that: freezing the rest would take as long."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, seen: Tensor, carried: list[Tensor], first: int, end: int
    ) -> tuple[Tensor, list[Tensor]]:
        answers: tuple[Tensor, list[Tensor]] = self.network.advance(seen, carried, first, end)  # type: ignore[operator]
        return answers

    @torch.jit.export
    def rest(self, batch: int) -> list[Tensor]:
        kept: list[Tensor] = self.network.rest(batch)  # type: ignore[operator]
        return kept


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
        self.widest = _widest(self.card, network)
        network = network.to(self._dtype)
        # Channels last spares the convolutions a change of layout before and after each.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with quiet_torchscript():
            if carries(network):
                frozen = torch.jit.freeze(torch.jit.script(_GoesOn(network).eval()), ["rest"])
            else:
                frozen = torch.jit.freeze(network)
        paper_frames = _CPU_FRAMES if device.type == "cpu" else _CUDA_FRAMES
        frames = _BAND_FRAMES if self.card.bands else paper_frames
        warn = on_warning or (lambda line: warnings.warn(line, RuntimeWarning, stacklevel=2))
        self.network = Network(self.card, frozen, device, self._dtype, frames, warn)

    @property
    def frames_at_once(self) -> int:
        """How many frames the network predicts at a time, at the most."""
        return self.network.frames

    @property
    def context_again(self) -> int:
        """Frames of context that the network sees anew with every piece, both sides together."""
        return 0 if self.network.carries else 2 * self.card.context_frames

    @property
    def carried_bytes(self) -> int:
        """What the network keeps of a song from piece to piece, for a pair of channels."""
        return self.network.carried_bytes

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

    def begin(self, frames: int) -> Answers:
        """Begin a song that comes piece by piece, so many frames at a time at the most."""
        return self.network.begin(frames)

    def answers(self, seen: FloatArray) -> FloatArray:
        """Run the network over a song.

        Parameters
        ----------
        seen:
            float32 (batch, frames, ...), as the model's `scheme.Scheme` gives it.

        Returns
        -------
        numpy.ndarray
            float32 (batch, sources, ..., frames, bins or bands), 0 to 1.

        Raises
        ------
        OutOfMemoryError, DeviceError, ModelError, MemoryError
            See `stemsplit.answers.Answers.process`.
        """
        return np.concatenate(self.begin(self.frames_at_once).finish(seen), axis=-2)
