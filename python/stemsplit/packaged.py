"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "783d573a085c87ffac789e79ae3d0df6a532b7ca91b203940db4682086e8b234",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "36f10159ddf59c7dd485f28f42a2553cdc7cb5fc3e82f22812eb59a4024240da",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
