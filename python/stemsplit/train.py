"""Trains the paper's network, all sources at once: batches, loop, validation, checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the name every torch user knows)

from stemsplit import network
from stemsplit.config import SOURCES, StftSettings
from stemsplit.errors import InputError, OutputError, UsageError
from stemsplit.features import teaching_pair
from stemsplit.files import replaced
from stemsplit.remix import Remixer, StoredTrack

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
_WEIGHT_DECAY = 1e-2
_VALIDATION_FRAMES = 128
_PRIOR_BATCHES = 8
_PRIOR_WINDOWS = 96


@dataclass(frozen=True)
class TrainingSettings:
    """Everything a training's result depends on, apart from data, device and thread count.

    Attributes
    ----------
    steps:
        Optimiser steps in all.
    batch_size:
        Excerpts in a step.
    frames:
        Predicted frames of an excerpt.
    learning_rate:
        Its peak: it rises linearly over ``warmup`` steps and falls to zero along a cosine.
    dense_steps:
        So many of the first steps train the dense layers alone, nine tenths of the parameters, on
        what the convolutions' first weights make of the window: a third of a step's cost.
    validate_every:
        Steps between validations, each followed by a checkpoint.
    precision:
        ``float32``, or ``bfloat16`` for mixed precision.
    seed:
        Of the first weights, the remixes and the dropout.
    sample_rate, n_fft, hop_length:
        The spectrogram.
    magnitude_power:
        Exponent the input magnitudes are compressed with.
    """

    steps: int = 4000
    batch_size: int = 4
    frames: int = 64
    learning_rate: float = 1e-3
    warmup: int = 100
    dense_steps: int = 0
    validate_every: int = 250
    precision: str = "float32"
    seed: int = 0
    sample_rate: int = 44100
    n_fft: int = 2048
    hop_length: int = 512
    magnitude_power: float = 1 / 3

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "frames", "validate_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"bad {name}", got=getattr(self, name), wanted="at least 1")
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError("bad precision", got=self.precision, wanted="float32 or bfloat16")

    @property
    def stft(self) -> StftSettings:
        """The spectrogram's geometry."""
        return StftSettings(self.sample_rate, self.n_fft, self.hop_length)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True)
class Validation:
    """Figures over the validation songs, without remixing: means over their frames and bins.

    Attributes
    ----------
    loss:
        Binary cross-entropy, mean over the sources.
    accuracy, mse:
        By source: share of bins where the mask cut at 0.5 equals the target, and mean squared
        difference between the mask before the cut and the target.
    """

    loss: float
    accuracy: dict[str, float]
    mse: dict[str, float]


@dataclass(frozen=True)
class TrainingEvent:
    """One finished step: its number from 1, loss, examples a second, and a validation if due."""

    step: int
    steps: int
    loss: float
    examples_per_second: float
    validation: Validation | None


class Training:
    """A training run in a folder, from its beginning or from its last checkpoint.

    The folder holds ``checkpoint.pt`` (weights, optimiser, step) and ``best.pt`` (the weights with
    the lowest validation loss), both written atomically. A step's batch and dropout depend on the
    seed and the step alone, so a run that was killed and resumed on the same kind of device with
    as many threads ends bit for bit where an undisturbed one ends.

    Parameters
    ----------
    tracks:
        What to train on.
    validation_tracks:
        What chooses the best weights; may be empty: the last weights are the best then.
    folder:
        The run's folder.
    settings:
        See `TrainingSettings`.
    device:
        Where to train.
    resume:
        Go on from the folder's checkpoint. Without it, a folder that has one is refused.

    Raises
    ------
    OutputError
        A checkpoint is there and ``resume`` is False.
    UsageError
        The checkpoint was made with other settings.
    InputError
        ``resume`` without a checkpoint, or tracks of another sample rate.
    """

    def __init__(
        self,
        tracks: list[StoredTrack],
        validation_tracks: list[StoredTrack],
        folder: Path,
        settings: TrainingSettings,
        *,
        device: torch.device | None = None,
        resume: bool = False,
    ) -> None:
        for track in (*tracks, *validation_tracks):
            if track.sample_rate != settings.sample_rate:
                raise InputError(
                    f"track {track.name} has another sample rate",
                    got=f"{track.sample_rate} Hz",
                    wanted=f"{settings.sample_rate} Hz",
                    remedy="resample the collection first",
                )
        self.settings = settings
        self.folder = folder
        self.device = device or torch.device("cpu")
        self.step = 0
        self.best_loss = math.inf
        self.best: Validation | None = None
        self._validation_tracks = validation_tracks
        hop, n_fft = settings.hop_length, settings.n_fft
        # Half a frame more on each side, so that no predicted frame sees the STFT's padding.
        self._margin = -(-n_fft // 2 // hop)
        columns = settings.frames + 2 * network.CONTEXT_FRAMES + 2 * self._margin
        self._remixer = Remixer(tracks, (columns - 1) * hop)
        self.network = self._first_weights().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self._begin(resume)

    def run(self, on_event: Callable[[TrainingEvent], None] | None = None) -> None:
        """Train to the last step; afterwards `network` holds the best weights."""
        with ThreadPoolExecutor(1) as ahead:
            batch = ahead.submit(self._batch, self.step)
            while self.step < self.settings.steps:
                started = time.perf_counter()
                magnitudes, targets = batch.result()
                batch = ahead.submit(self._batch, self.step + 1)
                loss = self._train_step(magnitudes, targets)
                seconds = time.perf_counter() - started
                self.step += 1
                due = self.step % self.settings.validate_every == 0
                validation = None
                if due or self.step == self.settings.steps:
                    validation = self._validate_and_save()
                if on_event is not None:
                    rate = self.settings.batch_size / seconds
                    on_event(TrainingEvent(self.step, self.settings.steps, loss, rate, validation))
        self.network.load_state_dict(_load(self.folder / BEST)["network"])
        self.network.eval()

    def _first_weights(self) -> network.DensePaperNetwork:
        """Draw first weights that let the differences between windows through.

        Each layer is scaled and shifted until its outputs over some training windows have mean 0
        and variance 1 (after Mishkin and Matas (2016), arXiv:1511.06422): of magnitudes, which are
        all positive, plain random weights would make large constants that drown what changes. The
        last bias is the logit of the mean target.
        """
        torch.manual_seed(self.settings.seed)
        networks = [network.PaperNetwork() for _ in SOURCES]
        batches = [self._batch(-1 - index) for index in range(_PRIOR_BATCHES)]
        share = torch.cat([pair[1] for pair in batches]).float().mean((0, 2))
        stretches = torch.cat([pair[0] for pair in batches])
        windows = stretches.unfold(1, network.WINDOW_FRAMES, network.CONTEXT_FRAMES).flatten(0, 1)
        with torch.no_grad():
            for net, mean in zip(networks, share.clamp(1e-3, 1 - 1e-3), strict=True):
                net.normalise(windows[:_PRIOR_WINDOWS].unsqueeze(1))
                net.dense2.bias.copy_(torch.logit(mean))
        return network.join_sources(networks)

    def _begin(self, resume: bool) -> None:
        path = self.folder / CHECKPOINT
        facts = json.dumps(dataclasses.asdict(self.settings))
        if not resume:
            if path.exists():
                raise OutputError(
                    f"{self.folder} holds a training already",
                    remedy="pass --resume to go on with it, or choose another folder",
                )
            return
        if not path.exists():
            raise InputError(f"nothing to resume in {self.folder}", wanted=f"a {CHECKPOINT}")
        state = _load(path)
        if state["settings"] != facts:
            raise UsageError(
                "the checkpoint was made with other settings",
                got=facts,
                wanted=state["settings"],
                remedy="resume with the settings the training was begun with",
            )
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.best_loss = state["best_loss"]
        self.best = Validation(**state["best"]) if state["best"] else None

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make a step's batch: magnitudes (batch, frames + 24, bins) and targets as 0 and 1."""
        pairs = [
            self._example((self.settings.seed, step + _PRIOR_BATCHES, index))
            for index in range(self.settings.batch_size)
        ]
        magnitudes, targets = zip(*pairs, strict=True)
        return torch.from_numpy(np.stack(magnitudes)), torch.from_numpy(np.stack(targets))

    def _example(self, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        stems = self._remixer.example(seed)
        magnitudes, targets = self._pair(stems)
        magnitudes = magnitudes[self._margin : len(magnitudes) - self._margin]
        edge = self._margin + network.CONTEXT_FRAMES
        return magnitudes, targets[:, edge : targets.shape[1] - edge]

    def _pair(self, stems: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        settings = self.settings
        return teaching_pair(
            stems, stems.sum(axis=0), settings.stft, network.BINS, settings.magnitude_power
        )

    def _train_step(self, magnitudes: Tensor, targets: Tensor) -> float:
        settings = self.settings
        for group in self._optimizer.param_groups:
            group["lr"] = settings.rate_at(self.step)
        # Seeded by the step, so that dropout is the same after a resume.
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.network.train()
        for convolution in self.network.convolutions():
            convolution.requires_grad_(self.step >= settings.dense_steps)
        loss = F.binary_cross_entropy_with_logits(
            self._logits(magnitudes), targets.to(self.device, torch.float32)
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())

    def _logits(self, magnitudes: Tensor) -> Tensor:
        mixed = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            return self.network.logits(magnitudes.to(self.device)).float()

    def _validate_and_save(self) -> Validation | None:
        validation = self._validate() if self._validation_tracks else None
        loss = validation.loss if validation else -math.inf
        if loss <= self.best_loss:
            self.best_loss, self.best = loss, validation
            self._save(BEST, {"network": self.network.state_dict()})
        self._save(
            CHECKPOINT,
            {
                "settings": json.dumps(dataclasses.asdict(self.settings)),
                "step": self.step,
                "network": self.network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "best_loss": self.best_loss,
                "best": dataclasses.asdict(self.best) if self.best else None,
            },
        )
        return validation

    def _save(self, name: str, state: dict[str, object]) -> None:
        with replaced(self.folder / name) as temporary:
            torch.save(state, temporary)

    def _validate(self) -> Validation:
        self.network.eval()
        loss, right, squares = (np.zeros(len(SOURCES)) for _ in range(3))
        count = 0
        for magnitudes, targets in self._validation_pieces():
            with torch.inference_mode():
                logits = self._logits(magnitudes)[0]
                wanted = targets.to(self.device, torch.float32)
                masks = torch.sigmoid(logits)
                losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
                loss += losses.double().sum((1, 2)).cpu().numpy()
                right += ((masks > 0.5) == (wanted > 0.5)).double().sum((1, 2)).cpu().numpy()
                squares += (masks - wanted).square().double().sum((1, 2)).cpu().numpy()
            count += targets.shape[1] * targets.shape[2]
        return Validation(
            loss=float(loss.mean() / count),
            accuracy=dict(zip(SOURCES, (right / count).tolist(), strict=True)),
            mse=dict(zip(SOURCES, (squares / count).tolist(), strict=True)),
        )

    def _validation_pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut every validation song into stretches: magnitudes with their context, targets."""
        context = network.CONTEXT_FRAMES
        for track in self._validation_tracks:
            stems = np.zeros((len(SOURCES), 2, track.samples), np.float32)
            for index, source in enumerate(SOURCES):
                if source in track.stems:
                    stems[index] = track.stems[source].read(0, track.samples)[:2]
            magnitudes, targets = self._pair(stems)
            padded = np.pad(magnitudes, ((context, context), (0, 0)))
            for start in range(0, len(magnitudes), _VALIDATION_FRAMES):
                stop = min(start + _VALIDATION_FRAMES, len(magnitudes))
                yield (
                    torch.from_numpy(padded[None, start : stop + 2 * context]),
                    torch.from_numpy(targets[:, start:stop]),
                )


def _load(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
