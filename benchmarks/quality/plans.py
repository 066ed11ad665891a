"""Plans how a dataset is loaded: lines for `memos-as import` by namespace, or a folder for `memos-as ingest`.

A mark identifies an item: a tool's id, a memory's `doc_id` in its metadata, a file's path. A mark is also the item's id
in the dataset, with two exceptions: the same content is stored once in a session, and comes once in an answer, so one
memory may represent several messages or sessions; and an id that `register_tool` rejects is replaced.
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
from quality.datasets import NAMESPACE, Dataset, Question, Row
from quality.tool_descriptions import description, schema

POOLED = "pooled"
DOC_ID = "doc_id"
AND = "\x1f"
"""Between the marks of all memories with the same content, which represent one another."""

Line = dict[str, Any]

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


@dataclass(slots=True)
class Plan:
    """The data to load and the questions. `ids`: the dataset's ids by namespace and mark, unless equal to the mark."""

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
        """The namespaces of the questions, in order."""
        return list(dict.fromkeys(question.namespace for question in self.questions))

    def expand(self, namespace: str, marks: Iterable[str]) -> Iterator[str]:
        """Yield the dataset's ids for these marks, each once, in order."""
        single = (one for mark in marks for one in mark.split(AND))
        ids = (name for mark in single for name in self.ids.get((namespace, mark)) or (self.prefix + mark,))
        return iter(dict.fromkeys(ids))


def plans(dataset: Dataset, folders: Sequence[Path], *, pooled: bool, part: bool) -> Iterator[Plan]:
    """Yield the plans of a dataset. `pooled`: also one of all sessions in one namespace; `part`: not all questions."""
    if dataset.kind == "tools":
        yield _tools(dataset)
    elif dataset.kind == "messages":
        yield _shared(_messages(dataset))
    elif dataset.kind == "sessions":
        yield _shared(_sessions(dataset))
        if pooled:
            yield _shared(_pooled(dataset, part=part))
    else:
        yield _code(dataset, folders)


def _tools(dataset: Dataset) -> Plan:
    questions = [replace(question, namespace=NAMESPACE) for question in dataset.questions]
    plan = Plan(dataset.name, dataset.name, tools=True, questions=questions, lines={NAMESPACE: []})
    repaired = 0
    for tool in dataset.items:
        line = _tool(tool)
        if line["tool_id"] != tool["tool_id"]:
            plan.ids[NAMESPACE, line["tool_id"]] = [tool["tool_id"]]
        try:
            new_tool(line)
        except Invalid:
            line["request_schema"] = _repaired(line.get("request_schema"))
            repaired += 1
        plan.lines[NAMESPACE].append(line)
    if repaired:
        plan.notes.append(
            f"{repaired} tools are registered without the types in their schemas that JSON Schema does not define"
        )
    return plan


def _tool(tool: Row) -> Line:
    """Return a dataset's tool as the arguments of `register_tool`; names that it would reject are replaced."""
    tool_id, name = _name(tool["tool_id"]), _name(tool.get("name") or tool["tool_id"])
    address = f"https://tools.example/{quote(tool_id[:80], safe='')}"
    line = {"tool_id": tool_id, "name": name, "description": description(tool), "endpoint_url": address}
    request_schema = schema(tool)
    return line if request_schema is None else {**line, "request_schema": request_schema}


def _name(given: str) -> str:
    """Return the given name, or one made of its digest where it cannot be stored."""
    try:
        check_name("name", given)
    except Invalid:
        return f"id-{sha256(given.encode()).hexdigest()[:16]}"
    return given


def _repaired(schema: Any) -> Any:
    """Return the schema without each `type` that JSON Schema does not define."""
    if isinstance(schema, Mapping):
        kept = {
            key: part for key, part in schema.items() if key != "type" or not isinstance(part, str) or part in _TYPES
        }
        return {key: _repaired(part) for key, part in kept.items()}
    return [_repaired(part) for part in schema] if isinstance(schema, list) else schema


def _messages(dataset: Dataset) -> Plan:
    plan = Plan(dataset.name, dataset.name, tools=False, questions=dataset.questions)
    for message in dataset.items:
        meta = message.get("meta") or {}
        namespace = str(meta.get("namespace") or message.get("namespace") or NAMESPACE)
        session, time = meta.get("session"), message.get("timestamp")
        _add(plan, namespace, message["doc_id"], message["text"], session, time)
    return plan


def _sessions(dataset: Dataset) -> Plan:
    """Plan one namespace per question with the sessions of its haystack, or with all sessions if it has none."""
    sessions = {session["doc_id"]: session for session in dataset.items}
    questions = [replace(question, namespace=question.id) for question in dataset.questions]
    plan = Plan(dataset.name, dataset.name, tools=False, questions=questions, grouped=True)
    for question in questions:
        for session, time in _haystack(question, sessions).items():
            _add_session(plan, question.id, sessions[session], time)
    return plan


def _pooled(dataset: Dataset, *, part: bool) -> Plan:
    """Plan one namespace for all sessions (`part`: of the questions), each at its time in its first haystack."""
    sessions = {session["doc_id"]: session for session in dataset.items}
    times: dict[str, str | None] = {}
    for question in dataset.questions:
        for session, time in _haystack(question, sessions).items():
            times.setdefault(session, time)
    namespace = f"{POOLED}-{len(dataset.questions)}" if part else POOLED
    questions = [replace(question, namespace=namespace) for question in dataset.questions]
    plan = Plan(f"{dataset.name}-{namespace}", dataset.name, tools=False, questions=questions, grouped=True)
    for session in times if part else sessions:
        _add_session(plan, namespace, sessions[session], times.get(session))
    return plan


def _haystack(question: Question, sessions: Mapping[str, Row]) -> dict[str, str | None]:
    """Return the times of the sessions that a question searches, by session."""
    named = question.row.get("haystack")
    if named is None:
        return {name: session.get("timestamp") for name, session in sessions.items()}
    return {str(session): time for session, time in named}


def _add_session(plan: Plan, namespace: str, session: Row, time: str | None) -> None:
    for role, text in session["turns"]:
        if text.strip():
            _add(plan, namespace, session["doc_id"], f"{role}: {text}", session["doc_id"], time)


def _add(plan: Plan, namespace: str, doc_id: str, text: str, session: str | None, time: str | None) -> None:
    line: Line = {"content": text, "metadata": {DOC_ID: doc_id}}
    if session is not None:
        line["session_id"] = _name(str(session))
    if time is not None:
        line["occurred_at"] = _zoned(str(time))
    plan.lines.setdefault(namespace, []).append(line)


def _shared(plan: Plan) -> Plan:
    """Record all ids of each mark: the same content in the same session is stored once."""
    for namespace, lines in plan.lines.items():
        first: dict[tuple[str, str | None], str] = {}
        for line in lines:
            mark = first.setdefault((line["content"], line.get("session_id")), line["metadata"][DOC_ID])
            ids = plan.ids.setdefault((namespace, mark), [mark])
            if line["metadata"][DOC_ID] not in ids:
                ids.append(line["metadata"][DOC_ID])
    return plan


def _zoned(time: str) -> str:
    """Return the time with a zone: UTC where it has none."""
    whole = time if "T" in time or " " in time else f"{time}T00:00:00"
    return whole if whole.endswith("Z") or whole[-6:-5] in {"+", "-"} else f"{whole}Z"


def _code(dataset: Dataset, folders: Sequence[Path]) -> Plan:
    """Plan to ingest the folder that has the files of the questions, relative to it or to its parent."""
    wanted = [path for question in dataset.questions for path in question.gold]
    for folder in (folder.resolve() for folder in folders):
        for root, prefix in ((folder, ""), (folder.parent, f"{folder.name}/")):
            if any(path.startswith(prefix) and (root / path).is_file() for path in wanted):
                questions = [replace(question, namespace=NAMESPACE) for question in dataset.questions]
                return Plan(
                    dataset.name,
                    dataset.name,
                    tools=False,
                    questions=questions,
                    folder=folder,
                    prefix=prefix,
                    grouped=True,
                )
    raise SystemExit(f"{dataset.name}: no folder of --code has the files of its questions")
