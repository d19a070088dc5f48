"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "3cfecb1c1ec7b6a8e119016d180e12ff258756db83a6506b2b2502a273a66deb",
    "paper": "5472e215bc07100f6e30eb62daba547313dfd9fda61a76d233834a8e68509d3d",
    "tiny": "6f365f6376d21a61c4658be2022c7b8ef1bc08752d5f075a11c5b312e5e4ade3",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
