"""How much a fresh environment downloaded and installed, by distribution."""

import re
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

ROWS: Final = 12
"""The largest distributions, which are listed; all others are one row."""


def report(env: Path, downloads: Path) -> str:
    """Return a line with the sums, and a table of the largest distributions: MB downloaded and MB installed."""
    downloaded: Counter[str] = Counter()
    for file in downloads.iterdir():
        downloaded[_group(file.name.split("-")[0])] += file.stat().st_size
    (site_packages,) = env.glob("lib/python*/site-packages")
    installed: Counter[str] = Counter()
    for distribution in distributions(path=[str(site_packages)]):
        installed[_group(distribution.metadata["Name"])] += _size(distribution)
    del installed["pip"], installed["setuptools"]  # of every environment
    number = len(list(downloads.iterdir()))
    total = f"  {number} distributions: {_mb(downloaded.total())} to download, {_mb(installed.total())} installed"
    return "\n".join([total, *_rows(downloaded, installed)])


def _rows(downloaded: Mapping[str, int], installed: Counter[str]) -> list[str]:
    largest = installed.most_common(ROWS)
    rows = [f"    {name:22} {_mb(downloaded[name]):>8} {_mb(size):>8}" for name, size in largest]
    others = [name for name in installed if name not in dict(largest)]
    shares = (sum(downloaded[name] for name in others), sum(installed[name] for name in others))
    return [*rows, f"    {f'{len(others)} others':22} {_mb(shares[0]):>8} {_mb(shares[1]):>8}"]


def _group(name: str) -> str:
    """Return the name as the index writes it; the grammars count as one, since each is small."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    return "tree-sitter-*" if name.startswith("tree-sitter") else name


def _size(distribution: Distribution) -> int:
    paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file())


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
