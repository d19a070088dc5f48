"""Makes tracks to train on: MIDI rendered to stems, voices that sing melodies, single channels."""
