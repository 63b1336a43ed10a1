"""Why what came for a document is of no use, where that has a word."""

from __future__ import annotations


class Unusable(ValueError):
    """What came cannot be used.

    Args:
        word: why; a fixed one, no text of anybody else, since it goes into logs.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word
