"""Explains the errors of a TLS connection to Postgres, without the names of hosts and files."""

import ssl
from typing import Final

WRONG_HOST: Final = (
    "The certificate of the database names another host. Use a host name of the certificate in MEMOS_DATABASE_URL."
)
UNTRUSTED: Final = (
    "The certificate of the database cannot be verified: another CA has issued it, or it has expired. "
    "Name the file of its CA as sslrootcert in MEMOS_DATABASE_URL, or renew the certificate."
)
BAD_FILES: Final = (
    "The TLS files of MEMOS_DATABASE_URL cannot be used. Check that sslrootcert, sslcert and sslkey name files "
    "that exist, can be read and belong together."
)
NO_TLS: Final = (
    "The database offers no TLS, which the sslmode of MEMOS_DATABASE_URL requires. Enable TLS there, or change sslmode."
)

_OTHER_HOST: Final = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""


def tls_problem(error: Exception) -> str | None:
    """Return what is wrong with the TLS settings and how to fix it, or None for any other error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WRONG_HOST if error.verify_code in _OTHER_HOST else UNTRUSTED
    # The driver has no types for these two.
    if "rejected SSL upgrade" in str(error):
        return NO_TLS
    if isinstance(error, ssl.SSLError) or "certificate file" in str(error):
        return BAD_FILES
    return None


def names_files(url: str) -> bool:
    """Whether an address names TLS files. The error for a missing file is the same as for a missing Unix socket."""
    return any(f"{option}=" in url for option in ("sslrootcert", "sslcert", "sslkey"))
