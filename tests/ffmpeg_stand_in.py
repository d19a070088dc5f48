"""Stands in for the programs ffmpeg and ffprobe, by PyAV, as far as stempeg needs them to read.

The programs come with no package of PyPI, and the tests use nothing else. What stempeg makes of a
file is what is tested; both decode with the same libraries.

    python ffmpeg_stand_in.py ffprobe ... FILE
    python ffmpeg_stand_in.py ffmpeg -i FILE ... -map 0:INDEX ... pipe:
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np


def install(folder: Path) -> None:
    """Write the two programs into a folder, to be put on ``PATH``."""
    for name in ("ffmpeg", "ffprobe"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)


def probe(path: str) -> str:
    """Describe the streams of a file as ffprobe does."""
    with av.open(path) as container:
        streams = [
            {
                "index": stream.index,
                "codec_type": stream.type,
                "codec_name": stream.codec_context.name,
                "sample_rate": str(stream.sample_rate),
                "channels": stream.channels,
                "duration_ts": stream.duration,
                "duration": str(float(stream.duration * stream.time_base)),
                "tags": dict(stream.metadata),
            }
            for stream in container.streams.audio
        ]
    return json.dumps({"streams": streams, "format": {}})


def decode(path: str, index: int) -> bytes:
    """Decode a stream to interleaved little-endian floats."""
    with av.open(path) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(container.streams[index])]
    return np.concatenate(blocks, axis=1).T.astype("<f4").tobytes()


if __name__ == "__main__":
    arguments = sys.argv[2:]
    if sys.argv[1] == "ffprobe":
        print(probe(arguments[-1]))
    else:
        stream = arguments[arguments.index("-map") + 1].removeprefix("0:")
        sys.stdout.buffer.write(decode(arguments[arguments.index("-i") + 1], int(stream)))
