"""Which languages a text may be in, so that its words get their stems.

A question is often too short for certainty. So several languages may be returned, and a stem only ever adds to what a
word is found by: a wrong one costs a little weight, and no match of the word in the same form.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

DETECTED_CHARS: Final = 2_000
"""The beginning of a text decides: more would cost time and change nothing."""

_MARKERS: Final[Mapping[str, str]] = {
    "english": "the of and to is was for with what how when who which where why does did do my i it that this are be "
    "have you we our at by from not as or if me your can will",
    "danish": "og ikke jeg hvor hvornår hvad hvem hvordan hvilken hvilket hvilke af på til blev bliver været å æ ø",
    "dutch": "het een niet waar wanneer wat wie welke welk voor met zijn wordt worden naar ook bij onze mijn uit ik",
    "finnish": "ja ei kuka mikä mitä missä mistä mihin milloin miten miksi millä mille kuinka montako paljonko kenelle "
    "kenellä ketkä kun joka jotka mutta sekä vain kuin että hän minun meidän ä ö "
    "-ssa -ssä -sta -stä -lla -llä -lta -ltä -lle -ksi -iin -ään -mme",
    "french": "et est une dans avec qui que quel quelle quels quelles où quand pourquoi combien cette nous vous sont "
    "à ç é è ê œ",
    "german": "der das dem und ist nicht ein eine einen einem einer wo wann wer wie welche welcher welches welchen "
    "welchem wem warum für mit auf von zum zur beim nach bei wir ich sich wird werden wurde haben sind ä ö ü ß",
    "hungarian": "és egy nem mikor ki hogyan melyik miért volt hogy mennyi kinek csak á é í ó ö ő ú ü ű",
    "italian": "una della delle dei gli nella quale quali quando perché chi quanto quanti sono è nostro à ì ò ù",
    "norwegian": "og ikke jeg hvor når hva hvem hvordan hvilken hvilket hvilke på til ble blir vært å æ ø",
    "portuguese": "que para não das pelo pela quando onde como qual quais quem por quanto nosso está são é ã õ ç á â "
    "ê ó",
    "romanian": "și este pentru unde când cum câte câți sunt ă â î ș ț ş ţ",
    "spanish": "que para una por del qué cuál cuáles cuándo dónde cómo quién está nuestro ñ á é í ó ú",
    "swedish": "och inte jag när vad vem hur vilken vilket vilka på till är ett som för blev blir å ä ö",
    "turkish": "bir için nerede kim hangi nasıl neden değil kaç çok olan ı ğ ş ç ö ü",  # noqa: RUF001 - Turkish
}
"""Frequent words, mainly of questions, letters beyond those of English, and for Finnish, which needs few such words,
endings. Those of English count against the others. Words that are frequent in names (`los`), in code (`var`) or as
English words (`comment`) are not listed."""

_SCRIPTS: Final = (
    ("russian", re.compile("[\u0400-\u04ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
)
_PUNCTUATION: Final = str.maketrans(
    dict.fromkeys('!"#%&()*,./:;<=>?[]{|}\u00a1\u00ab\u00bb\u00bf\u201c\u201d\u201e\u2026', " ")
)


def _by_marker() -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for language, markers in _MARKERS.items():
        for marker in markers.split():
            languages.setdefault(marker, []).append(language)
    return languages


MARKERS: Final[Mapping[str, Sequence[str]]] = _by_marker()
"""The languages that each word, letter or ending is a sign of."""

_ENDING: Final = 3
"""Letters of an ending. Two endings count as much as one word or letter: `villa` and `pasta` are English words."""

_FOREIGN: Final = frozenset(
    form
    for marker, languages in MARKERS.items()
    if marker.isascii() and languages != ["english"]
    for form in (marker, marker.capitalize())
)


def is_english(text: str) -> bool:
    """Whether a text needs nothing but English stems, decided in a twentieth of the time that its words are weighed."""
    if not text.isascii():
        return False
    if " the " in text or " to " in text or " and " in text or " of " in text or " you " in text:
        return True
    if not _FOREIGN.isdisjoint(text[:DETECTED_CHARS].split()):
        return False
    return not ("lla " in text or "ssa " in text or "sta " in text or "lle " in text or "lta " in text)


def languages_of(text: str) -> list[str]:
    """Return the languages whose stems a text needs besides those of English: most often one, rarely more or none."""
    return [*(language for language, letter in _SCRIPTS if letter.search(text)), *_by_signs(text)]


def _by_signs(text: str) -> list[str]:
    beginning = text[:DETECTED_CHARS].lower().translate(_PUNCTUATION)
    words = set(beginning.split())
    letters = {letter for letter in beginning if not letter.isascii()}
    endings = {f"-{word[-_ENDING:]}" for word in words if len(word) > _ENDING}
    counts: Counter[str] = Counter()
    for signs, weight in ((words | letters, 2), (endings, 1)):
        for sign in signs & MARKERS.keys():
            counts.update(dict.fromkeys(MARKERS[sign], weight))
    against = counts.pop("english", 0)
    most = max(counts.values(), default=0)
    return [language for language, count in counts.items() if count == most] if most > max(against, 1) else []
