"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "881874db604bccdb3c66e683ff32541177c74270e6d4580cd2a0dcf27efb51d9",
    "paper": "5472e215bc07100f6e30eb62daba547313dfd9fda61a76d233834a8e68509d3d",
    "tiny": "6f365f6376d21a61c4658be2022c7b8ef1bc08752d5f075a11c5b312e5e4ade3",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
