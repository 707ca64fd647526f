"""QTensor <-> words and bytes, as hardware stores them: rules P1 to P5 and the `[layout]` table of a format."""

from qsim.layout.buffer import pack, unpack
from qsim.layout.words import to_limbs, to_words

__all__ = ["pack", "to_limbs", "to_words", "unpack"]
