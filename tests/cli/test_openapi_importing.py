"""`memos-as tools add-openapi`: what it stores, prints and refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from memos_mcp.cli import openapi_fetching
from memos_mcp.cli.command_line import main
from tests.tool_calling.endpoints import serving

PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "/v1"}],
    "security": [{"key": []}],
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
    "paths": {
        "/pets": {"get": {"operationId": "list", "summary": "List pets", "tags": ["read"]}},
        "/pets/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1.5}}
            ],
            "get": {"operationId": "read", "summary": "Read a pet", "tags": ["read"]},
            "delete": {"operationId": "delete", "summary": "Delete a pet"},
            "options": {},
        },
    },
}
NEEDED = (
    "It needs a credential: --header X-Key ('key'). Set one (memos-as credential set NAME --host HOST ...), "
    "and add --auth NAME."
)
BASE = ("--base-url", "http://127.0.0.1:8000/v1")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, tmp_path: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command of the toolbox in a namespace of its own: exit code, stdout, stderr."""
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", tmp_path.name)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        wait = ["--no-wait"] if arguments[0] == "add-openapi" else []
        code = main(["tools", *map(str, arguments), *wait])
        return (code, *capsys.readouterr())

    return command


def write(folder: Path, api: dict[str, Any], name: str = "pets.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(api))
    return path


def without(path: str, method: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(PETS))
    del changed["paths"][path][method]
    return changed


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {tool["tool_id"]: tool for tool in json.loads(run("list", "--json")[1])["tools"]}


def test_operations_are_added_updated_and_removed_in_step_with_the_file(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, PETS)
    code, out, _ = run("add-openapi", file, *BASE)
    assert code == 0
    assert out.splitlines() == [
        "added: pets.list (GET http://127.0.0.1:8000/v1/pets)",
        "added: pets.read (GET http://127.0.0.1:8000/v1/pets/{id})",
        "added: pets.delete (DELETE http://127.0.0.1:8000/v1/pets/{id})",
        "Not added:",
        "  A tool cannot have this method. (OPTIONS /pets/{id})",
        "To know:",
        f"  {NEEDED} (GET /pets, GET /pets/{{id}}, DELETE /pets/{{id}})",
        "pets: 3 added, 0 updated, 0 unchanged, 0 removed; operations in the document: 4",
    ]
    _, out, _ = run("add-openapi", file, *BASE)
    assert out.splitlines()[-1] == "pets: 0 added, 0 updated, 3 unchanged, 0 removed; operations in the document: 4"

    changed = without("/pets", "get")
    changed["paths"]["/pets/{id}"]["get"]["summary"] = "Read one pet"
    write(tmp_path, changed)
    _, out, _ = run("add-openapi", file, *BASE)
    assert out.splitlines()[:2] == [
        "updated: pets.read (GET http://127.0.0.1:8000/v1/pets/{id})",
        "removed: pets.list",
    ]
    tools = listed(run)
    assert [tool["name"] for tool in tools.values()] == ["Delete a pet", "Read one pet"]
    assert {tool["source"] for tool in tools.values()} == {"pets"}


def test_a_dry_run_reports_the_same_and_stores_nothing(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, PETS)
    _, dry, _ = run("add-openapi", file, *BASE, "--dry-run")
    assert dry.splitlines()[-1] == "Nothing was stored: this was a dry run."
    assert listed(run) == {}
    _, out, _ = run("add-openapi", file, *BASE)
    assert dry.splitlines()[:-1] == out.splitlines()


def test_a_choice_of_operations_leaves_the_others_alone(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, PETS)
    run("add-openapi", file, *BASE, "--include", "delete", "--auth", "shop")
    assert {name: tool["auth"] for name, tool in listed(run).items()} == {"pets.delete": "shop"}
    run("add-openapi", file, *BASE, "--include", "read", "--auth", "key=other")
    assert {name: tool["auth"] for name, tool in listed(run).items()} == {
        "pets.delete": "shop",
        "pets.list": "other",
        "pets.read": "other",
    }
    code, _, err = run("add-openapi", file, *BASE, "--include", "reed")
    assert (code, err) == (1, "memos-as: No operation has the tag or the id 'reed'. Did you mean read?\n")


def test_a_tool_of_another_source_is_never_replaced(run: Run, tmp_path: Path) -> None:
    run("add-openapi", write(tmp_path, {**PETS, "info": {"title": "Others"}}), *BASE, "--name", "a.b")
    paths = {"/x": {"get": {"operationId": "b.list"}}, "/y": {"get": {}}}
    code, out, _ = run("add-openapi", write(tmp_path, {**PETS, "paths": paths}), *BASE, "--name", "a")
    assert code == 1
    assert out.splitlines()[:2] == [
        "added: a.get_y (GET http://127.0.0.1:8000/v1/y)",
        "not added: a.b.list: another tool has this id; give the source another --name",
    ]
    assert listed(run)["a.b.list"]["source"] == "a.b"


def test_the_report_can_be_read_as_json(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("add-openapi", write(tmp_path, PETS), *BASE, "--json", "--auth", "shop")
    assert code == 0
    assert json.loads(out) == {
        "source": "pets",
        "operations": 4,
        "added": ["pets.list", "pets.read", "pets.delete"],
        "updated": [],
        "unchanged": [],
        "removed": [],
        "taken": [],
        "findings": [
            {"operation": "OPTIONS /pets/{id}", "effect": "not added", "reason": "A tool cannot have this method."}
        ],
        "dry_run": False,
    }


def test_files_beside_the_first_one_are_read_and_no_others(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "api"
    (folder / "paths").mkdir(parents=True)
    write(tmp_path, {"get": {"summary": "Secret"}}, "secret.json")
    write(folder / "paths", {"get": {"operationId": "list", "summary": "List"}}, "list.json")
    paths = {"/a": {"$ref": "paths/list.json"}, "/b": {"$ref": "../secret.json"}, "/c": {"$ref": "paths/missing.json"}}
    missing = f"{folder}/paths/missing.json cannot be read"
    _, out, _ = run("add-openapi", write(folder, {**PETS, "paths": paths, "security": []}), *BASE)
    assert out.splitlines() == [
        "added: pets.list (GET http://127.0.0.1:8000/v1/a)",
        "Not added:",
        "  The path refers to ../secret.json, which cannot be read: it is outside of the folder of the document. (/b)",
        f"  The path refers to paths/missing.json, which cannot be read: {missing}: No such file or directory. (/c)",
        "pets: 1 added, 0 updated, 0 unchanged, 0 removed; operations in the document: 1",
    ]


def test_an_api_is_added_from_its_address(run: Run) -> None:
    async def openapi(_request: Request) -> Response:
        return JSONResponse(PETS)

    async def moved(_request: Request) -> Response:
        return RedirectResponse("/docs/openapi.json")

    app = Starlette(routes=[Route("/docs/openapi.json", openapi), Route("/openapi.json", moved)])
    with serving(app) as service:
        code, out, _ = run("add-openapi", f"http://{service}/openapi.json", "--auth", "shop")
        missing = run("add-openapi", f"http://{service}/other.json")
    assert code == 0
    assert out.splitlines()[0] == f"added: pets.list (GET http://{service}/v1/pets)"
    assert missing == (1, "", "memos-as: 127.0.0.1 answered with status 404. Check the address.\n")


def test_an_api_that_is_too_large_is_not_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi_fetching, "MAX_BYTES", 1024 * 1024)

    async def large(_request: Request) -> Response:
        return Response(b" " * (1024 * 1024 + 1), headers={"content-type": "application/json"})

    with serving(Starlette(routes=[Route("/", large)])) as service:
        assert run("add-openapi", f"http://{service}/")[2] == "memos-as: The document has more than 1 MiB.\n"
    file = tmp_path / "large.json"
    file.write_bytes(b" " * (1024 * 1024 + 1))
    assert run("add-openapi", file)[2] == f"memos-as: {file} has more than 1 MiB.\n"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://pets.test/openapi.json", "An address must start with http:// or https:// and name a host."),
        ("https:///openapi.json", "An address must start with http:// or https:// and name a host."),
        ("https://[::1/openapi.json", "The address is not a valid URL."),
        ("https://ada:pw@pets.test/a", "The address holds credentials, which other programs can see."),
        ("http://127.0.0.1:9/openapi.json", "127.0.0.1 cannot be reached. Check the address and the network."),
        ("missing.json", "missing.json cannot be read: No such file or directory."),
    ],
)
def test_what_cannot_be_read_is_a_clear_error(run: Run, location: str, message: str) -> None:
    code, out, err = run("add-openapi", location)
    assert (code, out) == (1, "")
    assert err.startswith(f"memos-as: {message}")


def test_an_api_without_a_usable_operation_changes_nothing(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, PETS)
    run("add-openapi", file, *BASE)
    code, _, err = run("add-openapi", file)
    assert code == 1
    assert err.startswith("memos-as: No operation can become a tool. Nothing was changed.\nNot added:\n")
    assert "Its server is '/v1', which is no address with a host. Give the address with --base-url. (GET /pets," in err
    code, _, err = run("add-openapi", file, "--base-url", "shop")
    assert (code, err[:25]) == (1, "memos-as: --base-url: end")
    assert len(listed(run)) == 3
