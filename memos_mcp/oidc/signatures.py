"""Verifies signatures: the only importer of PyJWT."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from memos_mcp.oidc.refused_token import RefusedToken

VerifyingKey: TypeAlias = PyJWK
"""A public key, bound to one algorithm."""

MAX_KEYS: Final = 100

_KEY_OF: Final[Mapping[str, tuple[str, str | None]]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The type and curve of the keys of each algorithm (RFC 7518, RFC 8037). All are asymmetric: with a symmetric one, a
public key would be the secret that makes a valid signature."""

_verifier: Final = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


class SigningKeys:
    """The public keys of a JSON Web Key Set (RFC 7517) that sign tokens."""

    def __init__(self, keys: Sequence[Any]) -> None:
        """Take the keys that are usable; others are of no concern."""
        self.jwks = [key for key in keys[:MAX_KEYS] if isinstance(key, dict) and _signs(key)]
        self._prepared = dict[tuple[str, str], VerifyingKey]()

    def find(self, key_id: str, algorithm: str) -> VerifyingKey | None:
        """Return the key with this id, if it is for this algorithm."""
        found = self._prepared.get((key_id, algorithm))
        if found is None and (found := self._prepare(key_id, algorithm)) is not None:
            self._prepared[key_id, algorithm] = found
        return found

    def _prepare(self, key_id: str, algorithm: str) -> VerifyingKey | None:
        kind, curve = _KEY_OF[algorithm]
        for key in self.jwks:
            if key.get("kid") != key_id or key["kty"] != kind or key.get("alg", algorithm) != algorithm:
                continue
            if curve is None or key.get("crv") == curve:
                try:
                    return PyJWK(key, algorithm)
                except (PyJWTError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                    return None  # PyJWT does not check the types of all members
        return None


def verified_payload(token: str, key: VerifyingKey) -> bytes:
    """Return what a token says, if this key has signed it by its algorithm; else raise `RefusedToken`."""
    try:
        payload: bytes = _verifier.decode(token, key, algorithms=[key.algorithm_name])
    except PyJWTError:
        raise RefusedToken("its signature is not valid") from None
    return payload


def _signs(key: Mapping[str, Any]) -> bool:
    """Whether a key is a public one, not for encryption, of a kind that is known here."""
    operations = key.get("key_ops")
    return (
        key.get("kty") in ("RSA", "EC", "OKP")  # not a set: what an issuer sends may have no hash
        and "d" not in key
        and key.get("use", "sig") == "sig"
        and (not isinstance(operations, list) or "verify" in operations)
    )
