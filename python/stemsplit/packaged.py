"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "d0385124ca576b09e3c09b5b241b7e3693f7af308324732713ce6ea9a881e20b",
    "paper": "026b90768230a3734a81567cd3451d7087107cecdfcf5b6a5c28a7c51372f1e6",
    "tiny": "94d5f444997da2d478d7dd885366dbfe0c17773b2dbf5a5784823445805a930f",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
