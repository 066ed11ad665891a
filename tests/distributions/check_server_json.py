"""Checks server.json by the schema of the MCP registry that it names, of which skillsaw has a copy."""

import json
import re
import sys
from importlib.resources import files
from pathlib import Path

from jsonschema.validators import validator_for


def main(path: Path) -> int:
    """Print each violation; return 1 if there is one."""
    server = json.loads(path.read_text(encoding="utf-8"))
    (date,) = re.findall(r"/(\d{4}-\d\d-\d\d)/", server["$schema"])
    folder = files("skillsaw") / "schemas" / "mcp_registry" / f"v{date.replace('-', '_')}"
    schema = json.loads((folder / "server.schema.json").read_text(encoding="utf-8"))
    violations = [f"{error.json_path}: {error.message}" for error in validator_for(schema)(schema).iter_errors(server)]
    print(*violations or [f"{path} is valid by the schema of {date}"], sep="\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
