"""The words that code, SQL, tests, benchmarks and docs no longer use, what stands for each, and the literal uses left.

Run `python tests/retired_words.py [PATH ...]` to list every use below some paths (by default of the whole checkout).
"""

import io
import keyword
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[1]
SUFFIXES: Final = frozenset({".py", ".sql", ".md", ".toml", ".yaml", ".yml", ".json", ".mjs"})
NAMES: Final = frozenset({"Makefile", "Dockerfile"})
EXCEPT: Final = ("tests/retired_words.py", "tests/test_words.py", "requirements", "benchmarks/ingest_questions.json")
"""This list and its test, files that tools write, and questions that were fixed before anything was measured."""


@dataclass(frozen=True, slots=True)
class Retired:
    """A word or phrase that may not come back.

    pattern: a regular expression, matched against lower-case text in which names are split into words.
    scope: everywhere, in names of code only, as the name of a module or file only, or verbatim in any line.
    allowed: regular expressions for the literal uses, each with its reason; a match inside one of them passes.
    """

    pattern: str
    instead: str
    scope: Literal["everywhere", "names", "modules", "verbatim"] = "everywhere"
    allowed: dict[str, str] = field(default_factory=dict)


WORDS: Final = (
    Retired(r"houses?|storeys?", "architecture, layer"),
    Retired(
        r"rooms?",
        "package; space for a size",
        allowed={r"\b(want of|no|without) room\b": "space in an answer, in the tools' own words to a model"},
    ),
    Retired(r"doors?", "transport"),
    Retired(
        r"turns?",
        "message; session lock; one after the other",
        allowed={
            r"\bturns? (on|off)\b": "to switch a feature",
            r"each gets its turn": "the description of `queries`",
            r"[\"`]turns[\"`]": "a key of public datasets",
            r"\bend[_ ]turn\b": "a value of a model's API",
        },
    ),
    Retired(
        r"places?", "RunDir, SearchPosition, HostPort, index", allowed={r"\bin[ -]place\b": "the idiom: in place of"}
    ),
    Retired(
        r"told|tell|tells|telling",
        "payload, RESULT_FIELDS, log, report",
        allowed={
            r"they may have told you": "the instructions to a model: what its user has said",
            r"as i told you": "words of users, in the description of `query_memory`",
        },
    ),
    Retired(r"said", "payload, reported"),
    Retired(r"hear|hears|heard", "read"),
    Retired(r"presence", "ClientRegistry"),
    Retired(r"visits?|visitors?", "track_client"),
    Retired(r"patience", "handshake_timeout"),
    Retired(r"farewells?", "shutdown_notice"),
    Retired(r"attend|attends", "handle_connection"),
    Retired(r"rendezvous", "ipc"),
    Retired(r"greetings?", "handshake"),
    Retired(
        r"seeks?|seeking|sought",
        "connect",
        allowed={
            r"\.seek\(": "the method of a file",
            r"\bos\.(l ?seek|seek _?(cur|set))": "the call of the system and its constants",
            r"enable seqscan": "a setting of Postgres",
            r"deep seek": "the name of a vendor",
        },
    ),
    Retired(r"ends|calls|framing|descriptors", "client_io, engine_link, pending, line_buffer, fd_streams", "modules"),
    Retired(r"astray|unaccounted", "out_of_sync, missing"),
    Retired(r"sights?|sightings?", "IndexStatus"),
    Retired(
        r"look|looks|looked|looking",
        "inspect, search, read",
        allowed={
            r"\blook(s|ed|ing)? (up|like)\b": "to look something up; to look like something",
            r"\blook something up\b": "words that a user says, in the description of a tool",
        },
    ),
    Retired(r"doubts?|doubted", "enqueue epoch"),
    Retired(r"troubles?", "error"),
    Retired(r"rested", "idle"),
    Retired(r"tried", "opened", "names"),
    Retired(r"pays", "rebuild is worthwhile"),
    Retired(r"chores?", "housekeeping"),
    Retired(r"works? off|work(ed|ing) off", "process"),
    Retired(r"arrivals?", "indexed versions"),
    Retired(r"(?:def |\.)note\(", "record", "verbatim"),
    Retired(r"announce|announces|announced", "notify"),
    Retired(r"nearby|leaning|leans?|closest", "context, blend, max_weight"),
    Retired(r"least", "min_weight", "names", allowed={r"\bat least\b": "a lower bound of a filter"}),
    Retired(r"wordings?", "WeightedText"),
    Retired(
        r"spoken|spelled out|spelled_out",
        "split_identifier",
        allowed={r"names and dates spelled out": "advice to a model about what to write"},
    ),
    Retired(
        r"facts",
        "metadata_terms",
        allowed={
            r"facts about people": "advice to a model about what to remember",
            r"\bfacts, news\b": "words that a user says, in the description of a tool",
        },
    ),
    Retired(r"none but|not past", "subset_of, not_expired_by"),
    Retired(
        r"documents?",
        "SourceText, source, embedding_text",
        "names",
        {r"\bembed document\b": "a method of qdrant_edge", r"\bpdf document\b": "a class of pypdfium2"},
    ),
    Retired(r"tak(e|es|en|ing) in|took in|take in", "ingest"),
    Retired(r"intake", "IngestRun"),
    Retired(r"\bOmitted\b|_omitted\(", "Skipped", "verbatim"),
    Retired(r"half a character|whole characters|halves of characters", "unpaired surrogate, replace_surrogates"),
    Retired(r"check ?ups?|check_up", "doctor"),
    Retired(r"census", "version scan"),
    Retired(
        r"pieces?",
        "write batch; part, fragment",
        allowed={r"piece of bread": "a sentence whose similarity its model's makers publish"},
    ),
    Retired(
        r"left",
        "stops, remaining, remains",
        allowed={
            r"\bleft[ -]?outs?\b": "not included, also a field of an answer",
            r"\bleft\(|\bleft join\b": "SQL",
            r"\bbisect left\b": "a function of the standard library",
            r'"left"|left lateral': "a field of a grammar",
        },
    ),
    Retired(r"goes|go on|going on|went", "continues, is deleted, is sent"),
    Retired(r"gone", "is deleted, has stopped"),
    Retired(r"as it is|as they are", "unchanged"),
    Retired(r"just now", "right now, currently"),
    Retired(r"whoever|whomever", "the process that, the user who"),
)


def _any_of(*scopes: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(retired.pattern for retired in WORDS if retired.scope in scopes)})\b")


_ANY: Final = _any_of("everywhere", "names")
_ANY_NAME: Final = _any_of("names")
"""What selects the few lines to search word by word: one search for all words takes a fifteenth of the time."""

_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a retired word: where it stands, and what to write instead."""

    path: str
    line: int
    word: str
    instead: str
    text: str


def uses(paths: Sequence[Path] = ()) -> Iterator[Use]:
    """Yield every use below these paths, or in the whole checkout, that no literal meaning allows."""
    for path in _files(paths):
        yield from uses_in(path, path.relative_to(ROOT).as_posix())


def uses_in(path: Path, name: str) -> Iterator[Use]:
    """Yield the uses in a file, which is reported under this name."""
    text = path.read_text(encoding="utf-8")
    lines = dict(enumerate(text.splitlines(), start=1))
    spaced = {number: found for number, line in lines.items() if _ANY.search(found := _spaced(line))}
    has_names = path.suffix == ".py" and any(map(_ANY_NAME.search, spaced.values()))
    names = _names(text) if has_names else {}
    searched = {"everywhere": spaced, "names": names, "modules": {0: _spaced(Path(name).stem)}, "verbatim": lines}
    for retired in WORDS:
        yield from _uses(retired, name, lines, searched[retired.scope])


def _uses(retired: Retired, path: str, lines: dict[int, str], searched: dict[int, str]) -> Iterator[Use]:
    pattern = re.compile(retired.pattern if retired.scope == "verbatim" else rf"\b(?:{retired.pattern})\b")
    if retired.scope == "modules":
        if pattern.fullmatch(searched[0]):
            yield Use(path, 0, Path(path).stem, retired.instead, path)
        return
    for number, text in searched.items():
        allowed = [found.span() for literal in retired.allowed for found in re.finditer(literal, text)]
        for found in pattern.finditer(text):
            if not any(start <= found.start() and found.end() <= end for start, end in allowed):
                yield Use(path, number, found[0], retired.instead, lines[number].strip())


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(set(listed.stdout.splitlines())):
        path = ROOT / name
        if (path.suffix in SUFFIXES or path.name in NAMES) and not name.startswith(EXCEPT) and path.is_file():
            yield path


def _spaced(text: str) -> str:
    """Return the text in lower case with names split into words: `readPath` and `read_path` become `read path`."""
    return _BOUNDARY.sub(" ", text).lower()


def _names(text: str) -> dict[int, str]:
    """Return the names of a Python file by line, split into words."""
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            found[token.start[0]] = f"{found.get(token.start[0], '')} | {_spaced(token.string).strip()}"
    return found


def main() -> int:
    """Print the uses below the paths given; return 1 when there is one."""
    found = list(uses([Path(argument).absolute() for argument in sys.argv[1:]]))
    for use in found:
        print(f"{use.path}:{use.line}: {use.word!r} (instead: {use.instead}): {use.text[:140]}")
    print(f"{len(found)} uses")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
