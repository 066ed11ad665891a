"""The memories and questions of `latency.py`: generated conversations, or those of datasets."""

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

from quality.datasets import Dataset, find
from quality.plans import plans

Line = dict[str, Any]

MESSAGES = 20
SUBJECTS = 12
RARE = 12
"""A word that occurs no more often than this in the source of the words can be a subject of a session."""
BEGAN = datetime(2024, 1, 1, 9, tzinfo=UTC)


def generated(count: int, seed: int) -> Iterator[Line]:
    """Yield memories in sessions of `MESSAGES`: 12 to 40 words, a quarter of them subjects of the session.

    The words are those of Python's reference, some three thousand, with the frequencies that they have there: most
    texts share most of their words, as people's do, and a model has one token for most of them.
    """
    words, weights = _words()
    rare = [word for word, often in zip(words, weights, strict=True) if often <= RARE and len(word) > 3]
    chance, subjects = random.Random(seed), list[str]()
    chances = list(accumulate(weights))
    for number in range(count):
        session, message = divmod(number, MESSAGES)
        if message == 0:
            subjects = chance.sample(rare, SUBJECTS)
        text = chance.choices(words, cum_weights=chances, k=chance.randint(12, 40))
        for index in chance.sample(range(len(text)), len(text) // 4):
            text[index] = chance.choice(subjects)
        moment = BEGAN + timedelta(hours=session, minutes=message)
        content = f"{' '.join(text).capitalize()}."
        yield {"content": content, "session_id": f"session {session}", "occurred_at": moment.isoformat()}


def questions_about(lines: list[Line], count: int, seed: int) -> list[str]:
    """Return distinct questions, each about five of the rarer words of one memory."""
    often = Counter(dict(zip(*_words(), strict=True)))
    chance, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        words = sorted(
            set(re.findall(r"[a-z]+", chance.choice(lines)["content"].lower())), key=lambda word: often[word]
        )
        first, *rest = chance.sample(words[:8], min(5, len(words[:8])))
        found[f"What do we know about {first} with regard to {', '.join(rest)}?"] = None
    return list(found)


def from_datasets(data: Path, count: int) -> Iterator[Line]:
    """Yield messages of the conversations in a folder, each session of a dataset and namespace once."""
    return islice((line for dataset in _conversations(data) for line in _messages(dataset)), count)


def dataset_questions(data: Path, count: int, seed: int) -> list[str]:
    """Return distinct questions of these datasets, shuffled."""
    texts = sorted({question.text for dataset in _conversations(data) for question in dataset.questions})
    random.Random(seed).shuffle(texts)
    return texts[:count]


def _messages(dataset: Dataset) -> Iterator[Line]:
    *_, plan = plans(dataset, [], pooled=True, part=False)
    for namespace, lines in plan.lines.items():
        for line in lines:
            yield {**line, "session_id": f"{dataset.name}/{namespace}/{line.get('session_id')}"}


def _conversations(data: Path) -> Iterator[Dataset]:
    return (dataset for dataset in find(data, [], None) if dataset.kind in {"messages", "sessions"})


@cache
def _words() -> tuple[list[str], list[int]]:
    """Return the words of Python's reference and their counts; names with digits or underscores are no words."""
    found = re.findall(r"\b[a-z]+\b", " ".join(topics.values()).lower())
    counted = Counter(word for word in found if len(word) > 1 or word == "a")
    return list(counted), list(counted.values())
