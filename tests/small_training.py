"""Trainings of networks of the smallest kind, on a collection of two songs and one to judge by."""

from __future__ import annotations

from pathlib import Path

from conftest import StemMaker, write_folder
from stemsplit.material import StoredTrack
from stemsplit.recipe import Recipe, training_of
from stemsplit.training import Training

# Of the smallest kind: what is tested is the loop.
NETWORKS = {
    "paper": {"batch_size": 2, "frames": 4, "trunk_steps": 3},
    "band-unet": {
        "batch_size": 2,
        "frames": 8,
        "size": {"bands": 32, "widths": [8, 8, 8], "squeeze": [4, 4, 4], "dilations": [1]},
        "single_bands": 8,
        "n_fft": 1024,
        "hop_length": 256,
    },
}


def small_recipe(architecture: str, **training: object) -> Recipe:
    loop = {"steps": 4, "warmup": 1, "validate_every": 2, "average": 0.5, **training}
    return Recipe(architecture, training=loop, network=NETWORKS[architecture])


def write_collection(folder: Path, make_stems: StemMaker) -> Path:
    """Write ``train`` and ``valid``, in the order of whose songs they are taken below."""
    for seed in range(2):
        write_folder(folder / "train" / f"song {seed}", make_stems(1.5, seed=seed))
    write_folder(folder / "valid" / "song 2", make_stems(0.5, seed=2))
    return folder


def make_training(
    tracks: list[StoredTrack], folder: Path, recipe: Recipe, *, resume: bool = False
) -> Training:
    return training_of(recipe, tracks[:2], tracks[2:], folder, resume=resume)
