"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "9a3c4615823b2c975426b281053a50a62cae3c9d24e400d1c72c3597d8231351",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "36bbf624ca67b723a545c6172d2b034e49cffbdcf0db3e9eff3774bcda22aef4",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
