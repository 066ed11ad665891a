"""What a set becomes in the product: lines for `memos-as import` by namespace, or a folder for `memos-as ingest`.

An item is known by its mark: a tool's id, a memory's `doc_id` in its metadata, a file's path. The ids of the set that
a mark stands for are its own, unless it says otherwise: the same content is stored once in a scope, so that one memory
may stand for several documents; and an id that `register_tool` refuses is replaced.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from memos_mcp.cli.importing import new_tool
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from quality.sets import NAMESPACE, Question, QuestionSet, Row
from quality.wording import description, schema

POOLED = "pooled"
DOC_ID = "doc_id"

Line = dict[str, Any]

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


@dataclass(slots=True)
class Plan:
    """What is loaded and asked. `ids` are those that a mark stands for, by namespace and mark, where not its own."""

    name: str
    home: str
    tools: bool
    questions: Sequence[Question]
    lines: dict[str, list[Line]] = field(default_factory=dict)
    ids: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    folder: Path | None = None
    prefix: str = ""
    grouped: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that are asked, in order."""
        return list(dict.fromkeys(question.namespace for question in self.questions))

    def expand(self, namespace: str, marks: Iterable[str]) -> Iterator[str]:
        """Yield the set's ids that these marks stand for, each once, in order."""
        every = (one for mark in marks for one in self.ids.get((namespace, mark)) or (self.prefix + mark,))
        return iter(dict.fromkeys(every))


def plans(given: QuestionSet, folders: Sequence[Path], *, pooled: bool, part: bool) -> Iterator[Plan]:
    """Yield how a set is asked: `pooled`, sessions are asked again in one namespace; `part`: not all questions are."""
    if given.kind == "tools":
        yield _tools(given)
    elif given.kind == "turns":
        yield _shared(_turns(given))
    elif given.kind == "sessions":
        yield _shared(_sessions(given))
        if pooled:
            yield _shared(_pooled(given, part=part))
    else:
        yield _code(given, folders)


def _tools(given: QuestionSet) -> Plan:
    questions = [replace(question, namespace=NAMESPACE) for question in given.questions]
    plan = Plan(given.name, given.name, tools=True, questions=questions, lines={NAMESPACE: []})
    mended = 0
    for tool in given.documents:
        line = _tool(tool)
        if line["tool_id"] != tool["tool_id"]:
            plan.ids[NAMESPACE, line["tool_id"]] = [tool["tool_id"]]
        try:
            new_tool(line)
        except Invalid:
            line["request_schema"] = _mended(line.get("request_schema"))
            mended += 1
        plan.lines[NAMESPACE].append(line)
    if mended:
        plan.notes.append(f"{mended} tools are registered without the types in their schemas that JSON Schema has not")
    return plan


def _tool(tool: Row) -> Line:
    """Return a set's tool as the arguments of `register_tool`; names that are refused are replaced."""
    tool_id, name = _name(tool["tool_id"]), _name(tool.get("name") or tool["tool_id"])
    address = f"https://tools.example/{quote(tool_id[:80], safe='')}"
    line = {"tool_id": tool_id, "name": name, "description": description(tool), "endpoint_url": address}
    request_schema = schema(tool)
    return line if request_schema is None else {**line, "request_schema": request_schema}


def _name(given: str) -> str:
    """Return a name that can be stored: the given one, or one made of its digest."""
    try:
        check_name("name", given)
    except Invalid:
        return f"id-{sha256(given.encode()).hexdigest()[:16]}"
    return given


def _mended(schema: Any) -> Any:
    """Leave out each `type` that is none of JSON Schema's."""
    if isinstance(schema, Mapping):
        kept = {
            key: part for key, part in schema.items() if key != "type" or not isinstance(part, str) or part in _TYPES
        }
        return {key: _mended(part) for key, part in kept.items()}
    return [_mended(part) for part in schema] if isinstance(schema, list) else schema


def _turns(given: QuestionSet) -> Plan:
    plan = Plan(given.name, given.name, tools=False, questions=given.questions)
    for document in given.documents:
        about = document.get("meta") or {}
        namespace = str(about.get("namespace") or document.get("namespace") or NAMESPACE)
        session, time = about.get("session"), document.get("timestamp")
        _add(plan, namespace, document["doc_id"], document["text"], session, time)
    return plan


def _sessions(given: QuestionSet) -> Plan:
    """One namespace a question, with the sessions of its haystack; without a haystack, the question's own namespace."""
    turns = {document["doc_id"]: document for document in given.documents}
    questions = [replace(question, namespace=question.id) for question in given.questions]
    plan = Plan(given.name, given.name, tools=False, questions=questions, grouped=True)
    for question in questions:
        for session, time in _haystack(question, turns).items():
            _add_session(plan, question.id, turns[session], time)
    return plan


def _pooled(given: QuestionSet, *, part: bool) -> Plan:
    """All sessions in one namespace, each at its time in the first haystack that has it; for some questions, theirs."""
    turns = {document["doc_id"]: document for document in given.documents}
    times: dict[str, str | None] = {}
    for question in given.questions:
        for session, time in _haystack(question, turns).items():
            times.setdefault(session, time)
    namespace = f"{POOLED}-{len(given.questions)}" if part else POOLED
    questions = [replace(question, namespace=namespace) for question in given.questions]
    plan = Plan(f"{given.name}-{namespace}", given.name, tools=False, questions=questions, grouped=True)
    for session in times if part else turns:
        _add_session(plan, namespace, turns[session], times.get(session))
    return plan


def _haystack(question: Question, turns: Mapping[str, Row]) -> dict[str, str | None]:
    """Return the sessions that a question may search, once each, with their times."""
    named = question.row.get("haystack")
    if named is None:
        return {session: document.get("timestamp") for session, document in turns.items()}
    return {str(session): time for session, time in named}


def _add_session(plan: Plan, namespace: str, session: Row, time: str | None) -> None:
    for role, text in session["turns"]:
        if text.strip():
            _add(plan, namespace, session["doc_id"], f"{role}: {text}", session["doc_id"], time)


def _add(plan: Plan, namespace: str, doc_id: str, text: str, session: str | None, time: str | None) -> None:
    """Add a memory."""
    line: Line = {"content": text, "metadata": {DOC_ID: doc_id}}
    if session is not None:
        line["session_id"] = _name(str(session))
    if time is not None:
        line["occurred_at"] = _zoned(str(time))
    plan.lines.setdefault(namespace, []).append(line)


def _shared(plan: Plan) -> Plan:
    """Note all ids that the mark of a memory stands for: the same content in the same session is stored once."""
    for namespace, lines in plan.lines.items():
        first: dict[tuple[str, str | None], str] = {}
        for line in lines:
            mark = first.setdefault((line["content"], line.get("session_id")), line["metadata"][DOC_ID])
            ids = plan.ids.setdefault((namespace, mark), [mark])
            if line["metadata"][DOC_ID] not in ids:
                ids.append(line["metadata"][DOC_ID])
    return plan


def _zoned(time: str) -> str:
    """Return a time with a zone: UTC, where the set names none."""
    whole = time if "T" in time or " " in time else f"{time}T00:00:00"
    return whole if whole.endswith("Z") or whole[-6:-5] in {"+", "-"} else f"{whole}Z"


def _code(given: QuestionSet, folders: Sequence[Path]) -> Plan:
    """Choose the folder in which the files are that the questions name, relative to it or to the folder above."""
    wanted = [path for question in given.questions for path in question.gold]
    for folder in (folder.resolve() for folder in folders):
        for root, prefix in ((folder, ""), (folder.parent, f"{folder.name}/")):
            if any(path.startswith(prefix) and (root / path).is_file() for path in wanted):
                questions = [replace(question, namespace=NAMESPACE) for question in given.questions]
                return Plan(
                    given.name, given.name, tools=False, questions=questions, folder=folder, prefix=prefix, grouped=True
                )
    raise SystemExit(f"{given.name}: --code names no folder with the files that it asks for")
