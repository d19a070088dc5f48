"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "paper": "757d63193b67e0e30eaaabee4dd71b31e35d419739c1fe2220eb7c6153740a35",
    "tiny": "2b69a743a59e8614138d4c6680b14dd84164a5f591aa869d0766e97eb4081ba0",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
