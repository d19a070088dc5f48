"""What a network answers to a song that comes piece by piece, on a device whose memory may end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit.cards import ModelCard
from stemsplit.errors import DeviceError, ModelError, OutOfMemoryError
from stemsplit.probe import check_answers
from stemsplit.scheme import scheme_of

FloatArray = npt.NDArray[np.float32]

# A device that has no memory for so few has none for the network.
_LEAST_FRAMES = 16
_UNKNOWN = 1 << 40  # frames: no song is as long
# What cuDNN may do is set for the whole process, so two networks must not set it at once.
_CUDNN = threading.Lock()


class Network:
    """A network of a known kind on its device.

    Parameters
    ----------
    card, module:
        The model's, the module in the precision it shall work in. One with a method ``rest`` is
        called as `stemsplit.unet.BandUNet.advance` is, others with all of the context.
    device, dtype:
        Where that is, and its precision.
    frames:
        Frames it takes at a time, at the most, beside their context.
    warn:
        Called with a line when the device's memory does not suffice for so many.
    """

    def __init__(
        self,
        card: ModelCard,
        module: torch.nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        frames: int,
        warn: Callable[[str], None],
    ) -> None:
        self.card, self.module = card, module
        self.device, self.dtype = device, dtype
        self.frames = frames
        self._scheme = scheme_of(card)
        self._warn = warn

    @cached_property
    def carries(self) -> bool:
        """Whether it goes on where the piece before ended, instead of seeing its context anew."""
        return hasattr(self.module, "rest")

    @cached_property
    def carried_bytes(self) -> int:
        """What it keeps of a song from piece to piece, for one of the batch."""
        if not self.carries:
            return 0
        at_rest: list[Tensor] = self.module.rest(1)  # type: ignore[operator]
        return sum(kept.nbytes for kept in at_rest)

    def begin(self, frames: int) -> Answers:
        """Begin a song, of which the network takes so many frames at a time, at the most."""
        return (_Carrying if self.carries else _Overlapping)(self, frames)

    def run(self, seen: FloatArray, frames: int, module: Callable[[Tensor], Tensor]) -> FloatArray:
        """Give the answers of a network to a piece, for so many frames, as numbers of the host.

        Raises
        ------
        _DeviceIsFullError, DeviceError, ModelError, MemoryError
            See `_named`.
        """
        try:
            with torch.inference_mode(), _true_float32(self.device, self.dtype):
                answers = module(torch.from_numpy(seen).to(self.device, self.dtype))
            # CUDA tells of what fails in the network when its answers are first looked at.
            check_answers(self.card, answers, self._scheme.answers_shape(len(seen), frames))
            answer: FloatArray = answers.float().cpu().numpy()
        except RuntimeError as error:
            raise _named(error, self.card) from error
        return answer

    def halve(self, frames: int) -> None:
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
        self.frames = min(self.frames, fewer)  # another song may have halved it further

    def say_halved(self) -> None:
        """Tell that fewer frames did it."""
        self._warn(
            f"out of memory on {self.device}: the segment is halved to "
            f"{self._seconds(self.frames):.2f} s, which is slower and gives the same stems"
        )

    def _seconds(self, frames: int) -> float:
        return frames * self.card.hop_length / self.card.sample_rate


class Answers(ABC):
    """The answers of a network to a song that comes piece by piece."""

    def __init__(self, network: Network, frames: int) -> None:
        self._network = network
        self._frames = frames
        self._context = network.card.context_frames
        self._seen = 0
        self._end = _UNKNOWN  # of the song, as the network knows it
        self._owed = 0

    def process(self, seen: FloatArray) -> list[FloatArray]:
        """Take frames, and give the answers to those that have their context now.

        Parameters
        ----------
        seen:
            float32 (batch, frames, ...), as the model's `scheme.Scheme` gives it, which go on where
            the last ones ended; as many as a multiple of what the model asks for.

        Returns
        -------
        list of numpy.ndarray
            float32 (batch, sources, ..., frames, bins or bands), 0 to 1, that go on where the last
            ones ended: the context later than the frames.

        Raises
        ------
        OutOfMemoryError
            The device has no memory for the fewest frames.
        DeviceError, ModelError, MemoryError
            The device or the network fails, or the machine's memory is out.
        """
        self._owed += seen.shape[1]
        return self._answered(seen)

    def finish(self, seen: FloatArray) -> list[FloatArray]:
        """Take the last frames, any number of them, and give all answers that are left."""
        missing = -seen.shape[1] % self._network.card.frame_multiple
        self._end = self._seen + seen.shape[1] + missing
        self._owed += seen.shape[1]
        silent = missing + self._context
        silent += -(seen.shape[1] + silent) % self._network.card.frame_multiple
        return self._answered(np.concatenate((seen, _silence(seen, silent)), axis=1))

    def _answered(self, seen: FloatArray) -> list[FloatArray]:
        network, answers = self._network, []
        start, halved = 0, False
        while start < seen.shape[1]:
            stop = min(start + self._frames, start + network.frames, seen.shape[1])
            try:
                answer = self._step(seen[:, start:stop])
            except _DeviceIsFullError:
                torch.cuda.empty_cache()  # does nothing where there is no CUDA
                network.halve(stop - start)
                halved = True
                continue
            self._seen += stop - start
            start = stop
            if halved:
                network.say_halved()
                halved = False
            frames = min(answer.shape[-2], self._owed)  # what was added answers nothing
            if frames:
                answers.append(answer[..., :frames, :])
                self._owed -= frames
        return answers

    @abstractmethod
    def _step(self, seen: FloatArray) -> FloatArray:
        """Take a piece; where it fails for want of memory nothing is changed."""


class _Carrying(Answers):
    """Those of a network that goes on where it was: no frame is computed twice."""

    def __init__(self, network: Network, frames: int) -> None:
        super().__init__(network, frames)
        self._carried: list[Tensor] | None = None
        self._early = self._context  # answers to what was before the first frame

    def _step(self, seen: FloatArray) -> FloatArray:
        kept: list[Tensor] = []

        def advance(piece: Tensor) -> Tensor:
            module, carried = self._network.module, self._carried
            if carried is None:
                carried = module.rest(len(piece))  # type: ignore[operator]
            answers: Tensor
            answers, now = module(piece, carried, self._seen, self._end)
            kept.extend(now)
            return answers

        answer = self._network.run(seen, seen.shape[1], advance)
        self._carried = kept
        early = min(self._early, seen.shape[1])
        self._early -= early
        return answer[..., early:, :]


class _Overlapping(Answers):
    """Those of a network that sees the context of every piece with it, silence around the song."""

    def __init__(self, network: Network, frames: int) -> None:
        super().__init__(network, frames)
        self._past: FloatArray | None = None

    def _step(self, seen: FloatArray) -> FloatArray:
        past = _silence(seen, self._context) if self._past is None else self._past
        joined = np.concatenate((past, seen), axis=1)
        frames = joined.shape[1] - 2 * self._context
        if frames <= 0:
            self._past = joined
            return np.zeros((0, 0, 0), np.float32)
        answer = self._network.run(joined, frames, self._network.module)
        self._past = joined[:, frames:].copy()
        return answer


def _silence(seen: FloatArray, frames: int) -> FloatArray:
    return np.zeros((seen.shape[0], frames, *seen.shape[2:]), np.float32)


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
