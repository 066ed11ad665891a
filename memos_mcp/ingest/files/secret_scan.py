"""Finds secrets by token formats that their issuers document and that rarely occur otherwise.

detect-secrets (1.5.0) was measured first: 32 s for 1,000 files of Django and Sphinx, against 0.1 s here, and its five
findings were words such as `password = "..."` in ordinary code. This module matches formats, never words.
"""

import re
from collections.abc import Iterator
from typing import Final

_FORMATS: Final = re.compile(
    rb"""
    # RFC 7468, RFC 4716 and RFC 4880: a private key block with at least one line of the key.
    -----BEGIN\ (?:[A-Z0-9]+\ )*PRIVATE\ KEY(?:\ BLOCK)?-----(?:\\n|\s)+
        (?:[A-Za-z-]+:\ [^\r\n]*(?:\\n|\s)+)*[A-Za-z0-9+/=]{48}
    # AWS, "IAM identifiers": access keys, permanent and temporary; those in its documentation end in EXAMPLE.
    | \b(?:AKIA|ASIA)(?![A-Z2-7]{9}EXAMPLE)[A-Z2-7]{16}\b
    # GitHub, "Behind GitHub's new authentication token formats", and its fine-grained tokens.
    | \bgh[pousr]_[A-Za-z0-9]{36}\b
    | \bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b
    # GitLab, "Token overview": personal, deploy, runner and trigger tokens.
    | \bgl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,}
    # Slack, "Token types" and "Incoming webhooks".
    | \bxox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,}
    | \bhooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{24}\b
    # Stripe, "API keys": secret and restricted ones of the live mode.
    | \b[rs]k_live_[A-Za-z0-9]{24,}
    # Google Cloud, "API keys"; the secrets of its OAuth clients.
    | \bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])
    | \bGOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])
    # OpenAI: every key contains its name in base64. Anthropic, "API keys".
    | \bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}
    | \bsk-ant-(?:api|admin)[0-9]{2}-[A-Za-z0-9_-]{80,}
    # npm, "About access tokens"; PyPI, "API tokens": a macaroon for pypi.org.
    | \bnpm_[A-Za-z0-9]{36}\b
    | \bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}
    """,
    re.VERBOSE,
)

_MIN_DISTINCT: Final = 8
"""A token with fewer distinct characters is a placeholder, such as ghp_xxxxxxxx."""

_PREFIXES: Final = re.compile(
    rb"PRIVATE KEY|AKIA|ASIA|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|ptt)-|xox[abprs]-|hooks\.slack"
    rb"|k_live_|AIza|GOCSPX-|T3BlbkFJ|sk-ant-|npm_|pypi-Ag"
)


REMOVED: Final = b"[secret removed]"

_KEY_END: Final = re.compile(rb"-----END[ A-Z0-9]*-----|\Z")


def holds_secret(data: bytes) -> bool:
    """Whether these bytes contain a private key or an access token."""
    return next(_secrets(data), None) is not None


def without_secrets(data: bytes) -> bytes:
    """Return these bytes with `REMOVED` in place of each private key, to its end, and each access token."""
    kept, position = [], 0
    for match in _secrets(data):
        if match.start() < position:  # inside of a key that is already left out
            continue
        kept += [data[position : match.start()], REMOVED]
        end = _KEY_END.search(data, match.end()) if match.group().startswith(b"-----") else match
        position = len(data) if end is None else end.end()
    return b"".join([*kept, data[position:]])


def _secrets(data: bytes) -> Iterator[re.Match[bytes]]:
    if _PREFIXES.search(data) is None:
        return iter(())
    return (match for match in _FORMATS.finditer(data) if len(set(match.group()[8:])) >= _MIN_DISTINCT)
