"""The errors that a caller sees.

Every message is read by a language model or a person: it names what was wrong and what to do next,
and never holds a driver's text, a host or a secret.

    MemosError
    ├── Invalid            the input cannot be accepted
    ├── NotFound           an id that does not exist in this namespace
    ├── Conflict           what was to be changed is not what the caller has read
    ├── QuotaExceeded      a namespace has used up what it may use (`domain/quotas.py`)
    ├── ToolFailed         a registered tool was called, and did not do what it should
    └── Unavailable        a part is currently not available: the same call can be repeated
        ├── StoreUnavailable     Postgres
        ├── SourceUnavailable    a folder to ingest
        ├── IndexUnavailable     the vector index
        ├── EmbedderUnavailable  the embedding model
        └── RerankerUnavailable  the reranking model
"""


class MemosError(Exception):
    """The root of all anticipated failures."""


class Invalid(MemosError):
    """The input cannot be accepted; the message says which part and what is allowed."""


class NotFound(MemosError):
    """Nothing with this id exists in the caller's namespace."""


class Conflict(MemosError):
    """Something was changed since the caller read it; nothing was changed now."""


class ToolFailed(MemosError):
    """A registered tool could not be called or failed; the message says what is known of its effect."""


class Unavailable(MemosError):
    """A part is currently not available; nothing was changed, or the call can be repeated safely."""


class StoreUnavailable(Unavailable):
    """Postgres cannot be reached."""


class SourceUnavailable(Unavailable):
    """A folder to ingest cannot be read; its record was not changed."""


class IndexUnavailable(Unavailable):
    """The vector index cannot be reached or is held by another process."""


class EmbedderUnavailable(Unavailable):
    """The embedding model cannot be loaded."""


class RerankerUnavailable(Unavailable):
    """The reranking model cannot be loaded, or failed."""
