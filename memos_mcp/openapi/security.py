"""Finds which credential an operation needs, and says how to set it."""

from collections.abc import Iterator, Mapping
from typing import Any

from memos_mcp.openapi.findings import Findings
from memos_mcp.openapi.references import Definitions, Unresolvable

EVERY_SCHEME = ""
"""The key of the credential for all schemes without one of their own."""


class Security:
    """The security schemes of a description, and the names of credentials by scheme."""

    def __init__(self, root: Mapping[str, Any], credentials: Mapping[str, str], definitions: Definitions) -> None:
        components = root.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
        self._schemes: Mapping[str, Any] = schemes if isinstance(schemes, Mapping) else {}
        self._default = root.get("security")
        self._credentials = credentials
        self._definitions = definitions

    @property
    def schemes(self) -> list[str]:
        """The names of the schemes."""
        return list(self._schemes)

    def credential_of(self, operation: Mapping[str, Any], findings: Findings) -> str | None:
        """Return the name of the credential that a call is made with; report one that is missing.

        A description without any scheme says nothing of them: there every operation gets the credential for all.
        """
        if not self._schemes:
            return self._credentials.get(EVERY_SCHEME)
        alternatives = operation.get("security", self._default)
        named = [each for each in alternatives if isinstance(each, Mapping)] if isinstance(alternatives, list) else []
        if not named:
            return None
        problems = list[str]()
        for scheme in self._single(named, problems):
            if (option := self._option(scheme)) is None:
                problems.append(f"the scheme {scheme!r}, which no credential can be used with")
            elif (name := self._credentials.get(scheme, self._credentials.get(EVERY_SCHEME))) is not None:
                return name
            else:
                problems.append(f"{option} ({scheme!r})")
        if {} not in named:
            findings.noticed(
                f"It needs a credential: {' or '.join(dict.fromkeys(problems)) or 'one that is not described'}. "
                "Set one (memos-as credential set NAME --host HOST ...), and add --auth NAME."
            )
        return None

    def _single(self, alternatives: list[Mapping[str, Any]], problems: list[str]) -> Iterator[str]:
        """Yield the schemes that suffice by themselves: a tool has one credential."""
        for alternative in alternatives:
            if len(alternative) == 1:
                yield from alternative
            elif alternative:
                problems.append(f"{' and '.join(map(repr, alternative))} together, and a tool can have one only")

    def _option(self, name: str) -> str | None:
        """Return the option of `memos-as credential set` for a scheme; None when there is none."""
        try:
            scheme = self._definitions.follow(self._schemes.get(name))
        except Unresolvable:
            return None
        if not isinstance(scheme, Mapping):
            return None
        type_, kind = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if type_ in {"oauth2", "openIdConnect"} or (type_ == "http" and kind == "bearer"):
            return "--bearer"
        if type_ == "http" and kind == "basic":
            return "--basic"
        if type_ == "apiKey" and scheme.get("in") in {"header", "query"} and isinstance(scheme.get("name"), str):
            return f"--{scheme['in']} {scheme['name']}"
        return None
