"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "79dd30f90e9b4ad908f2dc4105a9f1dabda2c5c2f85776cb154eaf8601e4e88b",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "de803627d62f873ced613924edaacac91da40b9dd36223df396b27d5d134b94d",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
