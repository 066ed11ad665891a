"""Changes one entry of a YAML text, by whole lines. Pure.

A new entry is the first one of its list or mapping, on the lines below its key, so that comments stay with the entries
that they precede. A list or mapping in braces is not changed unless it is empty.
"""

from typing import Any, Final, TypeAlias

import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.clients.config_text import (
    NAME_FIELD,
    BrokenText,
    Keys,
    UnsupportedText,
    line_at,
    newline_of,
    split_lines,
)

_Pair: TypeAlias = tuple[Any, Any]

_INDENT: Final = "  "
_NULL: Final = "tag:yaml.org,2002:null"


class YamlText:
    """The editor of YAML, for entries below one key of the root: members of a mapping, or items of a list.

    Args:
        in_list: whether entries are items of a list, which have their name in a field.

    """

    def __init__(self, *, in_list: bool) -> None:
        self._in_list = in_list

    def read(self, text: str) -> dict[str, Any]:
        """Return the value of a text; an empty one is an empty mapping."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise _broken(error) from None
        if data is not None and not isinstance(data, dict):
            raise BrokenText("expected a mapping", 1, 1)
        return data or {}

    def with_entry(self, text: str, keys: Keys, value: dict[str, Any]) -> str:
        """Return the text with this entry."""
        newline = newline_of(text)
        lines = split_lines(text)
        found = _member(_root(text), keys[0])
        if found is None:
            if text and not text.endswith("\n"):
                lines.append(newline)
            lines += [f"{keys[0]}:{newline}", *self._render(keys, value, _INDENT, newline)]
            return "".join(lines)
        parent = found[1]
        if _is_empty(parent):
            return self._filled(text, found, keys, value)
        _check_block(parent, keys)
        rendered = self._render(keys, value, " " * parent.start_mark.column, newline)
        entry = self._entry(parent, keys)
        below = line_at(text, found[0].start_mark.index) + 1
        start, end = (below, below) if entry is None else _lines_of(text, *entry)
        lines[start:end] = rendered
        return "".join(lines)

    def without_entry(self, text: str, keys: Keys) -> str:
        """Return the text without this entry, and without its key in the root if nothing else is below that."""
        found = _member(_root(text), keys[0])
        entry = None if found is None else self._entry(found[1], keys)
        if found is None or entry is None:
            return text
        _check_block(found[1], keys)
        start, end = _lines_of(text, *entry)
        if len(found[1].value) == 1:
            start = line_at(text, found[0].start_mark.index)
        lines = split_lines(text)
        del lines[start:end]
        return "".join(lines)

    def _filled(self, text: str, found: _Pair, keys: Keys, value: dict[str, Any]) -> str:
        """Return the text with the first entry of an empty list or mapping, such as `{}` or nothing after the colon."""
        key, parent = found
        text = text[: key.end_mark.index] + ":" + text[parent.end_mark.index :]
        lines = split_lines(text)
        if not lines[-1].endswith("\n"):
            lines[-1] += newline_of(text)
        below = line_at(text, key.start_mark.index) + 1
        lines[below:below] = self._render(keys, value, _INDENT, newline_of(text))
        return "".join(lines)

    def _entry(self, parent: Any, keys: Keys) -> _Pair | None:
        """Return the first and the last node of an entry."""
        if not self._in_list:
            return _member(parent, keys[1])
        for item in parent.value if isinstance(parent, yaml.SequenceNode) else ():
            name = _member(item, NAME_FIELD)
            if name is not None and name[1].value == keys[1]:
                return item, item
        return None

    def _render(self, keys: Keys, value: dict[str, Any], indent: str, newline: str) -> list[str]:
        entry: Any = [value] if self._in_list else {keys[1]: value}
        written = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=float("inf"))
        return [f"{indent}{line}{newline}" for line in written.splitlines()]


def _root(text: str) -> Any:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _broken(error) from None


def _member(node: Any, key: str) -> _Pair | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((name, value) for name, value in pairs if name.value == key), None)


def _is_empty(node: Any) -> bool:
    return not node.value or node.tag == _NULL


def _check_block(node: Any, keys: Keys) -> None:
    """Raise `UnsupportedText` for what has no lines of its own for each entry."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        raise UnsupportedText(f"{keys[0]} is not written with an entry a line")


def _lines_of(text: str, first: Any, last: Any) -> tuple[int, int]:
    """Return the first line of an entry and the one after its last: a block itself ends where the next node starts."""
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        child = last.value[-1]
        last = child[1] if isinstance(child, tuple) else child
    end = line_at(text, last.end_mark.index)
    return line_at(text, first.start_mark.index), end + 1 if last.end_mark.column else end


def _broken(error: Any) -> BrokenText:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "this is not YAML"
    return BrokenText(problem, mark.line + 1, mark.column + 1) if mark else BrokenText(problem)
