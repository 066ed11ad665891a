"""The language of a file, by its name and its first line."""

import re
from pathlib import PurePosixPath
from typing import Final

_BY_SUFFIX: Final = {
    suffix: language
    for language, suffixes in {
        "python": "py pyi pyw py-tpl",
        "javascript": "js mjs cjs jsx",
        "typescript": "ts mts cts",
        "tsx": "tsx",
        "go": "go",
        "rust": "rs",
        "java": "java",
        "c": "c h",
        "cpp": "cc cpp cxx c++ hh hpp hxx h++ ipp inl tpp",
        "markdown": "md markdown mdx mkd",
        "restructuredtext": "rst rest",
        "toml": "toml",
        "yaml": "yaml yml",
        "json": "json jsonc json5",
        "xml": "xml xsd xsl",
        "ini": "ini cfg conf properties",
        "html": "html htm xhtml jinja jinja2 j2",
        "css": "css scss sass less",
        "shell": "sh bash zsh ksh bats",
        "sql": "sql ddl psql pgsql",
        "ruby": "rb rake gemspec podspec ru",
        "php": "php phtml",
        "kotlin": "kt kts",
        "swift": "swift",
        "scala": "scala sc sbt",
        "csharp": "cs csx",
        "lua": "lua",
        "perl": "pl pm",
        "protobuf": "proto",
        "terraform": "tf tfvars",
        "hcl": "hcl",
        "cuda": "cu cuh",
        "dart": "dart",
        "elixir": "ex exs",
        "zig": "zig zon",
        "haskell": "hs",
        "clojure": "clj cljs cljc",
        "erlang": "erl hrl",
        "fsharp": "fs fsi fsx",
        "graphql": "graphql gql",
        "groovy": "groovy gradle",
        "julia": "jl",
        "objective-c": "m mm",
        "ocaml": "ml mli",
        "powershell": "ps1 psm1",
        "r": "r",
        "solidity": "sol",
        "assembly": "s asm",
        "cmake": "cmake",
    }.items()
    for suffix in suffixes.split()
}

_BY_NAME: Final = {
    "makefile": "make",
    "gnumakefile": "make",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
    "podfile": "ruby",
    "jenkinsfile": "groovy",
    ".bashrc": "shell",
    ".zshrc": "shell",
    ".profile": "shell",
}

_NO_PROGRAM: Final = frozenset(
    ("markdown", "restructuredtext", "toml", "yaml", "json", "xml", "ini", "html", "css", "sql", "terraform", "hcl")
)
"""Languages of texts, settings and data; all others are those of programs."""

_SHEBANG: Final = re.compile(r"#!.*\b(python|node|bash|zsh|sh|ruby|perl|php|lua|ksh|dash|elixir)[\d.]*\b")
_BY_SHEBANG: Final = {
    "node": "javascript",
    "bash": "shell",
    "zsh": "shell",
    "ksh": "shell",
    "dash": "shell",
    "sh": "shell",
}

_MODE: Final = re.compile(r".*-\*-\s*(?:mode:\s*)?([\w+]+).*-\*-")
"""The mode line of Emacs: the headers of the C++ library have no other sign of their language."""

_BY_MODE: Final = {"C++": "cpp", "C": "c", "python": "python", "rst": "restructuredtext", "sh": "shell"}

_CPP_ONLY: Final = re.compile(
    r"^\s*(?:class\s+\w+|namespace\b|template\s*<|using\s+\w|(?:public|private)\s*:)", re.MULTILINE
)
"""Starts of lines that do not occur in a C header."""


def language(path: str, text: str) -> str | None:
    """Return the language of a file; None when neither its name nor its first line shows it."""
    name = PurePosixPath(path).name
    found = language_of_name(name)
    if found is None:
        return _by_first_line(text)
    return "cpp" if name.lower().endswith(".h") and _CPP_ONLY.search(text) else found


def is_program(language: str | None) -> bool:
    """Whether a language is one that programs are written in."""
    return language is not None and language not in _NO_PROGRAM


def language_of_name(name: str) -> str | None:
    """Return the language that the name of a file shows by itself, or None."""
    name = name.lower()
    return _BY_NAME.get(name) or _BY_SUFFIX.get(name.rpartition(".")[2] if "." in name else "")


def _by_first_line(text: str) -> str | None:
    if shebang := _SHEBANG.match(text):
        return _BY_SHEBANG.get(shebang[1], shebang[1])
    mode = _MODE.match(text)
    return None if mode is None else _BY_MODE.get(mode[1])
