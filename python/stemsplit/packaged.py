"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "f89b2cbbb92b79bd17666daa2daa275db551d01c195978501483f3a2f8244b10",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "36bbf624ca67b723a545c6172d2b034e49cffbdcf0db3e9eff3774bcda22aef4",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
