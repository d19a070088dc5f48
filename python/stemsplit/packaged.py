"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "cc4950a9ffea28b63a380e94ae3ea26d5a28f5617dc37c69fe34ca511b678a2a",
    "paper": "5472e215bc07100f6e30eb62daba547313dfd9fda61a76d233834a8e68509d3d",
    "tiny": "bd86dfb08b572d914d12aae3d279534e4f586fffd6ad1b02460e98d080513aa2",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
