"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "f3ecfc62812c3f973f27ba6cc7ae2dcc726d680f1487340bf5427943c59af445",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "19697ef44c4c30aed3f422eafefeec80d87c8de6f26f8c28743b77f6196bb276",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
