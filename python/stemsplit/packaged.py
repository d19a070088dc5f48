"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "cdbe40e7ff12bf6244a4d416facf99bd206e9a455cca07f9e61e44e6bcbb2928",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "85b1a4417a64139ae9d75926f724c961dfabbad7f5f447d4df584195e8021e27",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
