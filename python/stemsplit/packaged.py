"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "1b6d21772ef486f0283f33203ad430abe7d3fd9614759ea0a33b26ff117628b3",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "d785e09fd366b4c12dfd7dfd19f8741d7296255736dfb14e265085b820dfc04a",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
