"""Stands in for FluidSynth: writes a sine for each MIDI note, and what it was called with."""

from __future__ import annotations

import sys

import mido
import numpy as np
import soundfile


def main(arguments: list[str]) -> None:
    wave, midi = arguments[arguments.index("-F") + 1], arguments[-1]
    rate = int(arguments[arguments.index("-r") + 1])
    song = mido.MidiFile(midi)
    audio = np.zeros((round((song.length + 3) * rate), 2), np.float32)
    started, now = {}, 0.0
    for message in song:
        now += message.time
        if message.type == "note_on":
            started[message.note] = now
        elif message.type == "note_off":
            first, last = round(started[message.note] * rate), round(now * rate)
            pitch = 440 * 2 ** ((message.note - 69) / 12)
            tone = np.sin(2 * np.pi * pitch * np.arange(last - first) / rate)
            audio[first:last] += 2 * tone[:, None]  # louder than full scale, as floats may be
    soundfile.write(wave, audio, rate, subtype="FLOAT")


if __name__ == "__main__":
    main(sys.argv[1:])
