"""Decides whom an engine serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import Scope
from memos_mcp.ipc.handshake import is_newer


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a client is answered that wants to be served. With "leaving", the engine makes room for another one."""

    answer: Literal["welcome", "leaving", "refused"]
    reason: str | None = None
    note: str | None = None

    def told(self) -> dict[str, str]:
        """Return the members of the answer."""
        members = {"answer": self.answer, "reason": self.reason, "note": self.note}
        return {name: value for name, value in members.items() if value is not None}


def judge(own: str, version: str, differing: Sequence[str], *, others: bool, foreground: bool) -> Verdict:
    """Decide about a client of this version whose environment gives other values to the `differing` settings.

    `others`: somebody else is being served. `foreground`: a person runs this engine, so that only a person ends it.
    """
    if differing and (others or foreground):
        return Verdict("refused", _refusal(", ".join(differing), foreground=foreground))
    if is_newer(version, own) and not foreground:
        return Verdict("leaving", f"memos-as {version} takes over from {own}")
    if differing:
        return Verdict("leaving", f"the next client has other settings: {', '.join(differing)}")
    if is_newer(version, own):
        note = f"memos-as serve of version {own} serves this client of version {version}. Start it again to renew it."
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


def _refusal(names: str, *, foreground: bool) -> str:
    if foreground:
        return (
            f"memos-as serve runs on this data folder with other values of {names}. Give this client the same values, "
            "or a MEMOS_HOME of its own."
        )
    return (
        f"The engine of this data folder serves other clients with other values of {names}. Give this client the same "
        "values, or a MEMOS_HOME of its own, or end the other clients (memos-as stop ends the engine)."
    )
