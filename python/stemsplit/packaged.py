"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "5b8c8fe8b2e554e7788cfd0a0cdcb538f1cc105cc6df5c8c1860952ee0dd3bd4",
    "paper": "1633b3124348410619fbfa1fccbabb578ef14649b1d7addbf916e4aaf77f4513",
    "tiny": "c807205463945e9adc15d07047f543b684280cc4e975c732eec218fe00588e99",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
