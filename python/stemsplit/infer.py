"""Runs a model's network over stretches of spectrogram: the only place where audio meets torch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from stemsplit.errors import DeviceError, UsageError
from stemsplit.models import load_network, quiet_torchscript
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


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Give the type that ``auto``, ``float32`` or ``half`` means on a device.

    ``half`` is float16 on CUDA and bfloat16 on the CPU; ``auto`` is ``half`` on CUDA and
    ``float32`` on the CPU.

    Raises
    ------
    UsageError
        Another word.
    """
    if precision not in ("auto", "float32", "half"):
        raise UsageError("bad precision", got=precision, wanted="auto, float32 or half")
    if device.type == "cpu":
        return torch.bfloat16 if precision == "half" else torch.float32
    return torch.float32 if precision == "float32" else torch.float16


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

    Raises
    ------
    ModelError
        See `stemsplit.models.load_network`.
    """

    def __init__(self, card_path: Path, device: torch.device, precision: str = "auto") -> None:
        self._dtype = choose_precision(precision, device)
        self.card, network = load_network(card_path, device)
        self.scheme = scheme_of(self.card)
        self.device = device
        network = network.to(self._dtype)
        # Channels last spares the convolutions a change of layout before and after each.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with quiet_torchscript():
            self._network = torch.jit.freeze(network)
        paper_frames = _CPU_FRAMES if device.type == "cpu" else _CUDA_FRAMES
        self._frames = _BAND_FRAMES if self.card.bands else paper_frames

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
        """
        context = 2 * self.card.context_frames
        frames = seen.shape[1] - context
        pieces = []
        for start in range(0, frames, self._frames):
            stop = min(start + self._frames, frames)
            piece = seen[:, start : stop + context]
            missing = -piece.shape[1] % self.card.frame_multiple
            if missing:
                padding = [(0, 0), (0, missing)] + [(0, 0)] * (piece.ndim - 2)
                piece = np.pad(piece, padding)
            with torch.inference_mode():
                answers = self._network(torch.from_numpy(piece).to(self.device, self._dtype))
            pieces.append(answers[..., : stop - start, :].float().cpu().numpy())
        return np.concatenate(pieces, axis=-2)
