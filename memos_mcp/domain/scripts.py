"""Writing systems: one form for each character, and words for scripts that put no spaces between them.

Chinese, Japanese, Thai, Lao, Khmer and Burmese are searched by pairs of characters, and so are the words of Korean,
whose particles are written to the noun. A segmenter would find real words, but each language has its own, with a
dictionary of megabytes, and cuts a name that it does not know differently in a question and in a passage. Pairs need no
data, are the same on both sides, and are two regular expressions in SQL. A single Chinese character is often a word, so
each is a word of its own, too. `migrations/0010_search_every_language.sql` does the same for the full-text search.
"""

import re
from itertools import pairwise
from typing import Final
from unicodedata import normalize

_HAN: Final = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_HANGUL: Final = "\uac00-\ud7a3"
_OTHERS: Final = (
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f"
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"
    "\u1780-\u17b3\u17d7\u17dc\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081"
)
"""Hiragana, Katakana and Bopomofo; Thai, Lao, Khmer and Burmese without their dependent vowels."""

_LETTERS: Final = f"{_HAN}{_HANGUL}{_OTHERS}"

_VOWELS: Final = "\u0e31\u0e34-\u0e3a\u0eb1\u0eb4-\u0ebc\u17b6-\u17c8\u102b-\u1036\u1038\u103b-\u103e\u1056-\u1059"
"""Dependent vowels and medials, which belong to the letter before them."""

_MARKS: Final = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670\u0e47-\u0e4e\u0ec8-\u0ece"
    "\u1037\u1039\u103a\u17c9-\u17d3\u17dd\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
"""Marks that people leave out: accents without a composed form, vowel points, tone marks, joiners and soft hyphens."""

_COMPATIBLE: Final = re.compile(
    "[\u2e80-\u2fdf\u3131-\u318e\u3300-\u33ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufefc\uff01-\uffee\U0002f800-\U0002fa1f]+"
)
"""Forms of the same characters: full-width and half-width ones, ligatures of Arabic, radicals, units in one square."""

_ARABIC: Final = str.maketrans("أإآٱى", "ااااي")

_UNSPACED: Final = re.compile(f"(?:[{_LETTERS}][{_VOWELS}]*)+")
_CHARACTER: Final = re.compile(f"[{_LETTERS}][{_VOWELS}]*")
_ONE_HAN: Final = re.compile(f"[{_HAN}]")
_COUNTED: Final = re.compile(f"(?:[{_HAN}{_OTHERS}][{_VOWELS}]*){{1,2}}|[^\\s{_HAN}{_OTHERS}]+")
_HEBREW: Final = re.compile("(?<![\u05d0-\u05ea])[והבלמשכ]{1,2}([\u05d0-\u05ea]{3,})")
_PARTICLE: Final = "(?:은|는|이|가|을|를|에|에서|에게|의|와|과|도|로|으로|만|부터|까지|보다|처럼|한테|이나|나|이다)"
_KOREAN_NOUN: Final = re.compile(f"([{_HANGUL}]){_PARTICLE}")
"""A noun of one syllable with its particle. A longer noun is found by the pairs of its syllables."""

_BARE_PARTICLE: Final = re.compile(f"(?<=[0-9A-Za-z]){_PARTICLE}(?![{_HANGUL}])")
"""A particle after a number or a Latin word."""


def normalized(text: str) -> str:
    """Return a text in one form: composed, without optional marks, wide and narrow forms as the usual ones."""
    if text.isascii():
        return text
    text = _COMPATIBLE.sub(lambda run: normalize("NFKC", run[0]), normalize("NFC", text))
    return _MARKS.sub("", text).translate(_ARABIC)


def count_words(text: str) -> int:
    """Return the number of words of a text; in scripts without spaces, two characters are about one word."""
    return len(text.split()) if text.isascii() else len(_COUNTED.findall(text))


def spaced(text: str) -> str:
    """Return a normalized text with spaces around runs of characters that are written without them.

    Names and numbers between such characters become words: `エラー0x80070005です` is `エラー 0x80070005 です`. A Hebrew
    word is followed by what remains without its prefixes.
    """
    if text.isascii():
        return text
    return _UNSPACED.sub(r" \g<0> ", _BARE_PARTICLE.sub(" ", _HEBREW.sub(r"\g<0> \1", text)))


def pairs_of_characters(text: str) -> str:
    """Return what such runs are found by: their pairs of characters, and single Han characters."""
    return "" if text.isascii() else " ".join(pair for run in _UNSPACED.findall(text) for pair in _pairs(run))


def with_pairs(text: str) -> str:
    """Return a text of any form in which each run is replaced by its pairs."""
    return text if text.isascii() else _UNSPACED.sub(lambda run: " ".join(_pairs(run[0])), spaced(normalized(text)))


def _pairs(run: str) -> list[str]:
    characters = _CHARACTER.findall(run)
    words = [before + after for before, after in pairwise(characters)]
    words += [character for character in characters if _ONE_HAN.match(character)] if words else characters
    if noun := _KOREAN_NOUN.fullmatch(run):
        words.append(noun[1])
    return words
