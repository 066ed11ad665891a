"""An issuer of tokens for tests: its keys, and any token that it, or an attacker, could sign."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://login.example.com/realms/team"
AUDIENCE = "https://memos.example.com/mcp"
NOW = 1_780_000_000
CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ann",
    "client_id": "a-client",
    "tenant": "team",
    "scope": "openid memos:read memos:write",
    "iat": NOW - 10,
    "exp": NOW + 300,
}

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@cache
def private_key(name: str, algorithm: str = "ES256") -> Any:  # noqa: ARG001 - each name has a key of its own
    """A key of its own for each name; making one for RSA takes a tenth of a second."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm[0] in "RP":
        return rsa.generate_private_key(65_537, 2_048)
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[algorithm])


def public_jwk(name: str, algorithm: str = "ES256", **members: Any) -> dict[str, Any]:
    """What an issuer publishes of a key."""
    key = private_key(name, algorithm).public_key()
    jwk: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    return {**jwk, "kid": name, "use": "sig", **members}


def token(
    name: str = "first", algorithm: str = "ES256", headers: Mapping[str, Any] | None = None, **claims: Any
) -> str:
    """A token that is signed with this key. A claim or header of None is left out."""
    payload = {key: value for key, value in {**CLAIMS, **claims}.items() if value is not None}
    return sign(json.dumps(payload), name, algorithm, headers)


def sign(payload: str, name: str = "first", algorithm: str = "ES256", headers: Mapping[str, Any] | None = None) -> str:
    """A token of any payload."""
    header = {"alg": algorithm, "typ": "at+jwt", "kid": name, **(headers or {})}
    header = {key: value for key, value in header.items() if value is not None}
    return sign_parts(json.dumps(header), payload, private_key(name, algorithm), algorithm)


def sign_parts(header: str | bytes, payload: str, key: Any, algorithm: str) -> str:
    """A token of any header, signed as `algorithm` says and not as the header does."""
    header = header if isinstance(header, bytes) else header.encode()
    content = f"{segment(header)}.{segment(payload.encode())}"
    method = get_default_algorithms()[algorithm]
    return f"{content}.{segment(method.sign(content.encode(), method.prepare_key(key)))}"


def segment(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def claims_of(signed: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(signed, options={"verify_signature": False})
    return claims
