"""The environment of the server processes that tests start."""

import os


def server_environment(**variables: object) -> dict[str, str]:
    """Return the environment of this process without settings of the server, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_")}
    return {**kept, **{name: str(value) for name, value in variables.items()}}
