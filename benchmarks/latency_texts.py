"""What `latency.py` stores and asks: conversations made by a seeded generator, or those of sets of questions."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, islice
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from quality.plans import plans
from quality.sets import QuestionSet, find

Line = dict[str, Any]

TURNS = 20
SUBJECTS = 12
RARE = 12
"""A word that comes no more often than this in the source of the words can be what a session is about."""
BEGAN = datetime(2024, 1, 1, 9, tzinfo=UTC)


def made(count: int, seed: int) -> Iterator[Line]:
    """Yield memories in sessions of `TURNS`: 12 to 40 words, a quarter of them about the session's own subjects.

    The words are those of Python's reference, some three thousand, as often as they come there: so most texts share
    most of their words, as people's do, and a model has mostly one token for each.
    """
    words, weights = _words()
    rare = [word for word, often in zip(words, weights, strict=True) if often <= RARE and len(word) > 3]
    chance, subjects = random.Random(seed), list[str]()
    chances = list(accumulate(weights))
    for number in range(count):
        session, turn = divmod(number, TURNS)
        if turn == 0:
            subjects = chance.sample(rare, SUBJECTS)
        text = chance.choices(words, cum_weights=chances, k=chance.randint(12, 40))
        for place in chance.sample(range(len(text)), len(text) // 4):
            text[place] = chance.choice(subjects)
        moment = BEGAN + timedelta(hours=session, minutes=turn)
        content = f"{' '.join(text).capitalize()}."
        yield {"content": content, "session_id": f"session {session}", "occurred_at": moment.isoformat()}


def asked_about(lines: list[Line], count: int, seed: int) -> list[str]:
    """Return different questions, each about five of the rarer words of one memory."""
    often = Counter(dict(zip(*_words(), strict=True)))
    chance, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        words = sorted(
            set(re.findall(r"[a-z]+", chance.choice(lines)["content"].lower())), key=lambda word: often[word]
        )
        first, *rest = chance.sample(words[:8], min(5, len(words[:8])))
        found[f"What was said about {first} when it came to {', '.join(rest)}?"] = None
    return list(found)


def real(data: Path, count: int) -> Iterator[Line]:
    """Yield turns of the sets of conversations in a folder, a session of any set or namespace once."""
    return islice((line for given in _conversations(data) for line in _turns(given)), count)


def really_asked(data: Path, count: int, seed: int) -> list[str]:
    """Return different questions of these sets, mixed."""
    every = sorted({question.text for given in _conversations(data) for question in given.questions})
    random.Random(seed).shuffle(every)
    return every[:count]


def _turns(given: QuestionSet) -> Iterator[Line]:
    *_, plan = plans(given, [], pooled=True, part=False)
    for namespace, lines in plan.lines.items():
        for line in lines:
            yield {**line, "session_id": f"{given.name}/{namespace}/{line.get('session_id')}"}


def _conversations(data: Path) -> Iterator[QuestionSet]:
    return (given for given in find(data, [], None) if given.kind in {"turns", "sessions"})


@cache
def _words() -> tuple[list[str], list[int]]:
    """Return words and how often each comes in Python's reference; a name with digits or underscores is not one."""
    found = re.findall(r"\b[a-z]+\b", " ".join(topics.values()).lower())
    counted = Counter(word for word in found if len(word) > 1 or word == "a")
    return list(counted), list(counted.values())
