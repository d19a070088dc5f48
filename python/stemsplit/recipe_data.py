"""The songs of a recipe: found, told apart from those that judge, and decoded."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from stemsplit.dataset import Track, find_tracks
from stemsplit.errors import UsageError
from stemsplit.material import StoredTrack, store_tracks
from stemsplit.recipe import Recipe


def stored(
    recipe: Recipe, valid: Sequence[Path], store: Path, on_track: Callable[[int, int], None]
) -> tuple[list[StoredTrack], list[StoredTrack]]:
    """Decode a recipe's songs and the validation songs into a store, once.

    Parameters
    ----------
    recipe:
        Its data.
    valid:
        Collections of validation songs.
    store:
        Folder, see `stemsplit.material.store_tracks`.
    on_track:
        Called with the songs done and their total.

    Raises
    ------
    UsageError
        No data, or a song that stands on both sides, or twice on one.
    InputError, AudioError
        A collection cannot be read.
    """
    if not recipe.data:
        raise UsageError("no data to train on", wanted="a folder, or [[data]] in the recipe")
    found = [(t, s) for s in recipe.data for t in find_tracks(Path(s.path))]
    held = [track for folder in valid for track in find_tracks(folder)]
    for side, there in (("training", [track for track, _ in found]), ("validation", held)):
        _check_once(there, side)
    # By its folder too, as a collection may lie in another and give its songs longer names.
    names = {track.name for track in held}
    places = {track.path.resolve() for track in held}
    shared = {t.name for t, _ in found if t.name in names or t.path.resolve() in places}
    if shared:
        raise UsageError(
            "songs stand in both training and validation",
            got=", ".join(sorted(shared)),
            remedy="remove them from one",
        )
    count = iter(range(1, len(found) + len(held) + 1))

    def step(_track: object) -> None:
        on_track(next(count), len(found) + len(held))

    tracks = store_tracks([track for track, _ in found], store, step)
    drawn = [
        dataclasses.replace(
            track,
            weight=source.weight,
            coherent=source.coherent,
            backing=source.backing,
            highest_hz=source.highest_hz or math.inf,
        )
        for track, (_, source) in zip(tracks, found, strict=True)
    ]
    return drawn, store_tracks(held, store, step)


def _check_once(tracks: Sequence[Track], side: str) -> None:
    """See that no song stands twice on a side, as of a collection that lies in another."""
    counts = Counter(track.path.resolve() for track in tracks)
    twice = sorted(str(path) for path, count in counts.items() if count > 1)
    if twice:
        raise UsageError(
            f"songs stand in {side} twice", got=", ".join(twice), remedy="name each collection once"
        )
