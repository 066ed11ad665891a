"""Decides which clients an engine serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import Scope
from memos_mcp.ipc.handshake import is_newer
from memos_mcp.settings import Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a client that asks to be served. With "leaving", the engine stops and another one replaces it."""

    answer: Literal["welcome", "leaving", "refused"]
    reason: str | None = None
    note: str | None = None

    def payload(self) -> dict[str, str]:
        """Return the answer's fields."""
        fields = {"answer": self.answer, "reason": self.reason, "note": self.note}
        return {name: value for name, value in fields.items() if value is not None}


def judge(own: str, version: str, differing: Sequence[str], *, others: bool, foreground: bool) -> Verdict:
    """Decide about a client of this version whose environment gives other values to the `differing` settings.

    others: other clients are being served. foreground: a person runs this engine, so only a person stops it.
    """
    if differing and (others or foreground):
        return Verdict("refused", _refusal(", ".join(differing), foreground=foreground))
    if is_newer(version, own) and not foreground:
        return Verdict("leaving", f"memos-as {version} takes over from {own}")
    if differing:
        return Verdict("leaving", f"the next client has other settings: {', '.join(differing)}")
    if is_newer(version, own):
        note = f"memos-as serve of version {own} serves this client of version {version}. Restart it to update it."
        return Verdict("welcome", note=note)
    if is_newer(own, version):
        return Verdict("welcome", note=f"a newer engine, {own}, serves this client of version {version}")
    return Verdict("welcome")


def scope_of(namespace: object, agent_id: object) -> Scope:
    """Return the scope that a connection is bound to; raise `Invalid` for names that cannot be stored."""
    if not isinstance(namespace, str) or not isinstance(agent_id, str):
        raise Invalid("MEMOS_NAMESPACE and MEMOS_AGENT_ID must be texts.")
    check_name("MEMOS_NAMESPACE", namespace)
    check_name("MEMOS_AGENT_ID", agent_id)
    return Scope(namespace, agent_id)


def own_scope(settings: Settings) -> Scope:
    """Return the scope of the settings; raise `Invalid` for names that cannot be stored."""
    return scope_of(settings.namespace, settings.agent_id)


def _refusal(names: str, *, foreground: bool) -> str:
    if foreground:
        return (
            f"memos-as serve runs on this data folder with other values of {names}. Give this client the same values, "
            "or a MEMOS_HOME of its own."
        )
    return (
        f"The engine of this data folder serves other clients with other values of {names}. Give this client the same "
        "values, or a MEMOS_HOME of its own, or close the other clients (memos-as stop stops the engine)."
    )
