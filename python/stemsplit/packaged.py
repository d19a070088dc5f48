"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "35d7fcedb2fc37ca72e24a668cf0d203b8db08ae1a141cba57ba23e3a7dead3e",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "201045954fbac8eac938019862a066c4a75df9d4779258c16b7f17ce43ac3037",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
