"""Slips of the finger among a text's tokens: a word that the tokenizer had to cut into pieces, and that is one letter lost,
doubled, swapped or replaced from a word it knows. A window in doubt is read with them put right too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from string import ascii_lowercase

from tokenizers import Tokenizer
from tokenizers.models import WordPiece

SHORTEST, LONGEST = 4, 24  # letters of a word that is looked up
_INNER = "##"  # before a piece that is not a word's first


class Spelling:
    """Of a WordPiece vocabulary in the order of its words' frequency."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._word, self._id = tokenizer.id_to_token, tokenizer.token_to_id
        self._known = lru_cache(maxsize=4096)(self._nearest)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Spelling | None:
        """None where its tokens are of another kind."""
        model = tokenizer.model
        return cls(tokenizer) if isinstance(model, WordPiece) and model.continuing_subword_prefix == _INNER else None

    def mended(self, ids: Sequence[int], words: Sequence[int | None]) -> list[int]:
        """`words`: the word of the text that each token is a piece of. Never longer than `ids`."""
        found: list[int] = []
        for _, places in groupby(range(len(ids)), key=words.__getitem__):
            pieces = [ids[place] for place in places]
            known = self._known(self._joined(pieces)) if len(pieces) > 1 else None
            found += pieces if known is None else [known]
        return found

    def _joined(self, pieces: Sequence[int]) -> str:
        return "".join(str(self._word(one)).removeprefix(_INNER) for one in pieces)

    def _nearest(self, word: str) -> int | None:
        """The most frequent word that `word` may have been meant for."""
        if not (SHORTEST <= len(word) <= LONGEST and word.isalpha()):
            return None
        return min((one for meant in _meant(word) if (one := self._id(meant)) is not None), default=None)


def _meant(word: str) -> Iterator[str]:
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        yield before + after[1:]
        yield before + after[1::-1] + after[2:]
        for letter in ascii_lowercase:
            yield before + letter + after
            yield before + letter + after[1:]
