"""The tokens here are invented and joined from parts, so that no scanner reports this file as a leak."""

import string

import pytest

from memos_mcp.ingest.files.secret_scan import holds_secret

LETTERS = string.ascii_letters + string.digits
BASE64_LINE = "MIIEpAIBAAKCAQEA" + LETTERS[:48]
KEY = "PRIVATE" + " KEY"

SECRETS = {
    "rsa": f"-----BEGIN RSA {KEY}-----\n{BASE64_LINE}\n",
    "encrypted": f"-----BEGIN RSA {KEY}-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\n{BASE64_LINE}\n",
    "openssh": f"-----BEGIN OPENSSH {KEY}-----\r\n{BASE64_LINE}",
    "in json": f'"-----BEGIN {KEY}-----\\n{BASE64_LINE}\\n"',
    "aws": "AK" + "IAQ3EGVTY4HB2ZXKLM",
    "github": "gh" + "p_" + LETTERS[:36],
    "github fine": "github" + "_pat_" + LETTERS[:22] + "_" + LETTERS[:59],
    "gitlab": "gl" + "pat-" + LETTERS[:20],
    "slack": "xo" + "xb-123456789012-" + LETTERS[:24],
    "slack hook": "https://hooks.slack" + ".com/services/T01234567/B01234567/" + LETTERS[:24],
    "stripe": "sk" + "_live_" + LETTERS[:24],
    "google": "AI" + "za" + LETTERS[:35],
    "openai": "sk" + "-proj-" + LETTERS[:20] + "T3Blbk" + "FJ" + LETTERS[:20],
    "anthropic": "sk" + "-ant-api03-" + (LETTERS * 2)[:90],
    "npm": "npm" + "_" + LETTERS[:36],
    "pypi": "pypi" + "-AgEIcHlwaS5vcmc" + LETTERS[:60],
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_found_inside_code(secret: str) -> None:
    assert holds_secret(f"some = 'code'\ntoken = '{secret}'\nmore()\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        "password = 'correct horse battery staple'",
        "SECRET_KEY = 'django-insecure-#abc'",
        f"if data.startswith('-----BEGIN RSA {KEY}-----'):\n    raise ValueError('no keys here')",
        f"-----BEGIN {KEY}-----\n...\n-----END {KEY}-----",
        "AK" + "IAIOSFODNN7EXAMPLE",
        "gh" + "p_" + "x" * 36,
        "sk" + "_live_" + "0" * 24,
        r"re.compile(r'\bghp_[A-Za-z0-9]{36}\b')",
        "sk" + "_test_" + LETTERS[:24],
        "an api_key, a token and credentials are words",
        "-----BEGIN CERTIFICATE-----\n" + BASE64_LINE,
        "-----BEGIN PUBLIC KEY-----\n" + BASE64_LINE,
    ],
)
def test_code_about_secrets_is_not_a_secret(text: str) -> None:
    assert not holds_secret(text.encode())
