"""The models inside the package, by the seals of their cards: code vouches for them.

`recipes/package_model.py` writes this file.
"""

from __future__ import annotations

from typing import Final

SEALS: Final = {
    "base": "881874db604bccdb3c66e683ff32541177c74270e6d4580cd2a0dcf27efb51d9",
    "paper": "5472e215bc07100f6e30eb62daba547313dfd9fda61a76d233834a8e68509d3d",
    "tiny": "6b69e90c43c47644d1fd3b43e857b2fe253d37ce7dd2a416132b5017d6f74c0e",
}
"""`ModelCard.seal` by name. A card and weights that are changed together do not have it."""
