from typing import Any

from tests.openapi.mapping import mapped, operation, reasons

TEXT = {"type": "string"}


def answers(**schemas: Any) -> dict[str, Any]:
    return {
        "responses": {
            status.strip("_"): {"description": "", "content": {"application/json": {"schema": schema}}}
            for status, schema in schemas.items()
        }
    }


def test_the_schema_of_a_success_is_that_of_the_answer() -> None:
    assert operation(answers(_200=TEXT, _404={"type": "object"}, default={})).response_schema == TEXT
    assert operation(answers(_2XX=TEXT)).response_schema == TEXT


def test_different_successes_are_alternatives() -> None:
    number = {"type": "number"}
    assert operation(answers(_201=TEXT, _200=number, _202=TEXT)).response_schema == {"anyOf": [number, TEXT]}


def test_answers_that_are_no_json_have_no_schema() -> None:
    content = {"text/csv": {"schema": TEXT}, "application/json": {}}
    assert operation({"responses": {"200": {"content": content}, "204": {}}}).response_schema is None
    content = {"application/problem+json; charset=utf-8": {"schema": TEXT}}
    assert operation({"responses": {"200": {"content": content}}}).response_schema == TEXT


def test_a_response_is_found_by_its_reference() -> None:
    components = {"responses": {"Ok": {"content": {"application/json": {"schema": TEXT}}}}}
    fields = {"responses": {"200": {"$ref": "#/components/responses/Ok"}}}
    assert operation(fields, components=components).response_schema == TEXT
    api = mapped({"/a": {"get": fields}})
    assert reasons(api, "changed") == [
        "The response 200 refers to #/components/responses/Ok, which is not in the document."
    ]


def test_a_response_that_is_no_schema_never_costs_the_tool() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(70):
        deep = {"items": deep}
    api = mapped({"/a": {"get": answers(_200={"type": 7, "title": "x"})}, "/b": {"get": answers(_200=deep)}})
    assert [tool.response_schema for tool in api.tools.values()] == [{"title": "x"}, None]
    assert len(reasons(api, "changed")) == 2
