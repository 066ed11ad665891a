"""Measures the package: how long its files and functions are, what its classes are called, and its import cycles."""

import ast
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import grimp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "memos_mcp"

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def file_lengths() -> dict[str, int]:
    """Return the lines of each module, by its path in the checkout."""
    return {_relative(path): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}


def function_lengths() -> dict[str, int]:
    """Return the lines of each function without its docstring; declarations, such as a port's methods, do not count."""
    return {
        f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1 - _docstring_lines(node)
        for path, node in definitions()
        if not isinstance(node, ast.ClassDef) and node.end_lineno is not None and not _only_declares(node)
    }


def definitions() -> Iterator[tuple[str, Definition]]:
    """Yield every function and class of the package, nested ones too, with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Definition):
                yield _relative(path), node


def import_cycles() -> list[list[str]]:
    """Return each largest set of modules that all import one another, directly or through others."""
    graph = grimp.build_graph(PACKAGE.name, cache_dir=None)
    reaches = {module: graph.find_upstream_modules(module) for module in graph.modules}
    cycles = {
        frozenset({module, *(other for other in reached if module in reaches[other])})
        for module, reached in reaches.items()
    }
    return sorted(sorted(cycle) for cycle in cycles if len(cycle) > 1)


def p90(lengths: Sequence[int]) -> int:
    """Return the smallest length that nine of ten do not exceed."""
    return sorted(lengths)[math.ceil(0.9 * len(lengths)) - 1]


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _docstring_lines(node: Definition) -> int:
    first = node.body[0]
    if ast.get_docstring(node) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1


def _only_declares(node: Definition) -> bool:
    return all(isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in node.body)


def main() -> None:
    """Print the figures."""
    files, functions = list(file_lengths().values()), list(function_lengths().values())
    print(
        f"{len(functions)} functions: p90 {p90(functions)} lines, longest {max(functions)}; "
        f"{len(files)} files, {sum(files):,} lines: median {statistics.median(files):g}, longest {max(files)}; "
        f"import cycles: {len(import_cycles())}"
    )


if __name__ == "__main__":
    main()
