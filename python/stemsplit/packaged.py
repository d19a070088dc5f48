"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "3cfecb1c1ec7b6a8e119016d180e12ff258756db83a6506b2b2502a273a66deb",
    "paper": "5472e215bc07100f6e30eb62daba547313dfd9fda61a76d233834a8e68509d3d",
    "tiny": "823c1e259b58479b979a14fb754dce84c19b9f3941caca1e305c138d3d527fab",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
