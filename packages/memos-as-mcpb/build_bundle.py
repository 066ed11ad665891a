"""Builds the bundle that Claude Desktop and other hosts install by a double click: `build_bundle.py FOLDER`.

It holds no packages: the host's uv installs memos-as from the index. Equal sources make equal bytes.
"""

import json
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

HERE = Path(__file__).parent
FILES = ("manifest.json", "pyproject.toml", "server.py")
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a ZIP file can have."""


def build(folder: Path) -> Path:
    """Write the bundle into a folder; return its path."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest['name']}-{manifest['version']}.mcpb"
    with ZipFile(path, "w", ZIP_DEFLATED) as bundle:
        for name in FILES:
            entry = ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, (HERE / name).read_bytes(), ZIP_DEFLATED)
    return path


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
