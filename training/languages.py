"""Other languages for an English encoder: translated sentences, word lists, and words of their own in its vocabulary."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# How many words of each language become tokens of their own: those that would otherwise cost the most pieces.
NEW_WORDS = {"fr": 2600, "de": 2800, "es": 2300, "pt": 1200, "it": 900, "nl": 500}
SWITCHED = {"fr": 0.3, "de": 0.27, "es": 0.25, "it": 0.08, "pt": 0.06, "nl": 0.04}  # share of each in switched texts
SEEN = 4  # times that a word must be met before it becomes a token
CLOSE = 0.08  # squared co-occurrence over both counts, above which two words are taken for translations
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_READABLE = re.compile(r"[\x00-ɏḀ-ỿ‐-⁞₠-₿]+")  # Latin letters, punctuation, currency


@dataclass(frozen=True, slots=True)
class Pair:
    english: str
    translation: str
    lang: str


def pairs(folder: Path) -> list[Pair]:
    return [Pair(english, other, lang) for lang in NEW_WORDS for english, other, *_ in _rows(folder / f"{lang}.tsv.gz")]


def _rows(file: Path) -> Iterator[list[str]]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        yield from rows


@dataclass(frozen=True, slots=True)
class Lexicon:
    """English word -> its translations with their weights, a dictionary a language."""

    words: dict[str, dict[str, tuple[list[str], NDArray[np.float64]]]]

    @classmethod
    def load(cls, folder: Path, known: Iterable[Pair]) -> Lexicon:
        """Common senses first: a translation weighs what the translated sentences use it."""
        used: dict[str, Counter[str]] = defaultdict(Counter)
        for pair in known:
            used[pair.lang].update(pair.translation.lower().split())
        words = {}
        for lang in NEW_WORDS:
            found: dict[str, list[str]] = defaultdict(list)
            for english, other in _rows(folder / f"words-{lang}.tsv.gz"):
                key = english.lower().removeprefix("to ")
                if " " not in key and other.count(" ") < 3:
                    found[key].append(other)
            counts = used[lang]
            words[lang] = {}
            for key, others in found.items():
                ranked = sorted(set(others), key=lambda o: (-counts[o.lower()], o))[:3]
                weights = np.array([counts[o.lower()] + 0.5 for o in ranked])
                words[lang][key] = (ranked, weights / weights.sum())
        return cls(words)

    def switch(self, text: str, rng: np.random.Generator) -> str:
        """An English text with many of its words in another language: not grammar, but the words that carry the matter."""
        lang = str(rng.choice(list(SWITCHED), p=list(SWITCHED.values())))
        words, share = self.words[lang], rng.uniform(0.5, 1.0)

        def other(match: re.Match[str]) -> str:
            word = match.group()
            entry = words.get(word.lower()) or words.get(word.lower().removesuffix("s"))
            if entry is None or rng.random() > share:
                return word
            return str(rng.choice(entry[0], p=entry[1]))

        return _WORD.sub(other, text)


# -- the vocabulary


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`tokenizer`: the new tokenizer.json; `sources`: for each new id the old ids whose mean embedding it begins with."""

    tokenizer: dict[str, Any]
    sources: list[list[int]]


def extend(tokenizer: Path, known: list[Pair], lexicon: Lexicon, texts: dict[str, list[str]]) -> Vocabulary:
    """The vocabulary without what no Latin script needs, and with the words of `texts` and of the translated sentences that
    cost the most pieces. A new word begins as the English words that it translates, by co-occurrence or by the dictionary, and
    as its pieces."""
    old = Tokenizer.from_file(str(tokenizer))
    old.no_truncation()
    vocabulary = old.get_vocab()
    kept = [t for t, _ in sorted(vocabulary.items(), key=lambda pair: pair[1]) if _is_kept(t)]
    sources = [[vocabulary[token]] for token in kept]
    seen = set(kept)
    by_lang: dict[str, list[Pair]] = defaultdict(list)
    for pair in known:
        by_lang[pair.lang].append(pair)
    for lang, count in NEW_WORDS.items():
        words = Counter(
            w for text in [*texts.get(lang, ()), *(p.translation for p in by_lang[lang])] for w in _words(old, text)
        )
        cost = {
            word: times * (len(old.encode(word, add_special_tokens=False).ids) - 1)
            for word, times in words.items()
            if times >= SEEN and word not in seen and len(word) > 2 and word.isalpha() and word.isascii()
        }
        chosen = sorted((w for w in cost if cost[w] > 0), key=lambda w: (-cost[w], w))[:count]
        meanings = _dictionary(old, lexicon.words[lang]) | _meanings(old, by_lang[lang], set(chosen))
        for word in chosen:
            pieces = old.encode(word, add_special_tokens=False).ids
            english = [vocabulary[w] for w in meanings.get(word, ()) if w in vocabulary]
            kept.append(word)
            sources.append(english * 2 + pieces if english else pieces)
        seen.update(chosen)
    body = json.loads(tokenizer.read_text(encoding="utf-8"))
    body["model"]["vocab"] = {token: index for index, token in enumerate(kept)}
    body["truncation"] = body["padding"] = None
    ids = body["model"]["vocab"]
    for token in body["added_tokens"]:
        token["id"] = ids[token["content"]]
    for special in body["post_processor"].get("special_tokens", {}).values():
        special["ids"] = [ids[t] for t in special["tokens"]]
    return Vocabulary(body, sources)


def _is_kept(token: str) -> bool:
    return not token.startswith("[unused") and bool(_READABLE.fullmatch(token.removeprefix("##")))


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    normal = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]


def _dictionary(tokenizer: Tokenizer, words: dict[str, tuple[list[str], NDArray[np.float64]]]) -> dict[str, list[str]]:
    """The other way round: a word -> the English words that it may translate, at most three."""
    found: dict[str, list[str]] = defaultdict(list)
    for english, (others, _) in words.items():
        for other in others:
            if len(found[key := tokenizer.normalizer.normalize_str(other)]) < 3:
                found[key].append(english)
    return found


def _meanings(tokenizer: Tokenizer, known: list[Pair], words: set[str]) -> dict[str, list[str]]:
    """For each word the one or two English words that its sentences share most."""
    together: dict[str, Counter[str]] = defaultdict(Counter)
    here: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for pair in known:
        english = set(_words(tokenizer, pair.english))
        others = set(_words(tokenizer, pair.translation)) & words
        there.update(english)
        here.update(others)
        for word in others:
            together[word].update(english)
    found = {}
    for word, counts in together.items():
        close = [(n * n / (here[word] * there[e]), e) for e, n in counts.items() if n > 1 and e.isalpha()]
        if best := [e for score, e in sorted(close, reverse=True)[:2] if score > CLOSE]:
            found[word] = best
    return found
