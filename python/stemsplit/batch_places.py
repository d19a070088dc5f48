"""Where a batch would put its stems: each in a place of its own, and none in that of a song."""

from __future__ import annotations

import os
from collections.abc import Sequence

from stemsplit.cards import ModelCard
from stemsplit.errors import UsageError
from stemsplit.inputs import Song, folded, folder_name
from stemsplit.separate_options import SeparateOptions
from stemsplit.store import OutputStore


def check_places(
    songs: Sequence[Song], options: SeparateOptions, store: OutputStore, card: ModelCard
) -> None:
    """See that the places of all stems are their own, before any song is separated.

    Parameters
    ----------
    songs:
        As they are called in the output folder.
    options, store, card:
        Of the batch.

    Raises
    ------
    UsageError
        Two songs would have a file in common, or a stem would replace another song.
    """
    if len({song.track for song in songs}) > 1:
        check_template(options)
    owners = {} if options.force else _owners(store)
    names = options.outputs.names(card.sources)
    inputs = {os.path.realpath(song.path): song.track for song in songs}
    taken: dict[str, str] = {}
    for song in songs:
        folder = folder_name(song.path)
        try:
            paths = options.outputs.paths(names, track=song.track, model=card.name, folder=folder)
        except UsageError:  # which this song will say by itself
            continue
        record = store.manifest(song.track)
        for path in paths.values():
            place = options.output / path
            ours = record is not None and path.as_posix() in record.owned
            if not ours and inputs.get(os.path.realpath(place), song.track) != song.track:
                raise UsageError(
                    "a stem would overwrite another song",
                    got=place,
                    remedy="choose another --output or --filename",
                )
            if taken.setdefault(folded(path.as_posix()), song.track) != song.track:
                raise _shared(path)
            owner = owners.get(folded(path.as_posix()), song.track)
            if owner != song.track and os.path.lexists(place):
                raise _shared(f"{path}, which is of {owner}")


def check_template(options: SeparateOptions) -> None:
    """See that a template gives each of several songs files of its own; raises `UsageError`."""
    if "{track}" not in options.outputs.filename:
        raise UsageError(
            "songs would share their files' names",
            got=f"--filename {options.outputs.filename}",
            wanted="{track} in it",
            remedy="or give each song an --output of its own",
            options=["filename"],
        )


def _owners(store: OutputStore) -> dict[str, str]:
    """Give the song that has each file of an output folder: the one that was done last."""
    owners: dict[str, str] = {}
    for manifest in store.manifests():
        owners |= {folded(path): manifest.track for path in manifest.owned}
    return owners


def _shared(got: object) -> UsageError:
    return UsageError(
        "songs would share their files' names",
        got=got,
        wanted="another --filename, in which {track} and {stem} do not meet",
        remedy="or give each song an --output of its own",
        options=["filename"],
    )
