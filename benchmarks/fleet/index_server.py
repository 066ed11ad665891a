"""Serves as much of Qdrant's HTTP as an engine needs, for benchmarks of several engines on a machine without Qdrant.

The points are in qdrant-client's local index, so that they are in memory and compared one by one.

    python benchmarks/fleet/index_server.py --port 6333
"""

import argparse
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python
from qdrant_client import AsyncQdrantClient, models
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VERSION = "1.19.1"

Handler = Callable[[AsyncQdrantClient, Request], Awaitable[Any]]

ALIAS_OPERATIONS = TypeAdapter(list[models.AliasOperations])


async def aliases(client: AsyncQdrantClient, _: Request) -> Any:
    return await client.get_aliases()


async def change_aliases(client: AsyncQdrantClient, request: Request) -> Any:
    operations = ALIAS_OPERATIONS.validate_python((await request.json())["actions"])
    return await client.update_collection_aliases(operations)


async def collections(client: AsyncQdrantClient, _: Request) -> Any:
    return await client.get_collections()


async def collection(client: AsyncQdrantClient, request: Request) -> Any:
    return await client.get_collection(request.path_params["name"])


async def create(client: AsyncQdrantClient, request: Request) -> Any:
    wanted = models.CreateCollection.model_validate(await request.json())
    return await client.create_collection(
        request.path_params["name"],
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
        metadata=wanted.metadata,
    )


async def delete(client: AsyncQdrantClient, request: Request) -> Any:
    return await client.delete_collection(request.path_params["name"])


async def create_field_index(_client: AsyncQdrantClient, _request: Request) -> Any:
    return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)  # the local index has none


async def upsert(client: AsyncQdrantClient, request: Request) -> Any:
    points = models.PointsList.model_validate(await request.json()).points
    return await client.upsert(request.path_params["name"], points)


async def delete_points(client: AsyncQdrantClient, request: Request) -> Any:
    selected = models.FilterSelector.model_validate(await request.json())
    return await client.delete(request.path_params["name"], selected)


async def query(client: AsyncQdrantClient, request: Request) -> Any:
    searches = models.QueryRequestBatch.model_validate(await request.json()).searches
    return await client.query_batch_points(request.path_params["name"], searches)


async def scroll(client: AsyncQdrantClient, request: Request) -> Any:
    wanted = models.ScrollRequest.model_validate(await request.json())
    points, following = await client.scroll(
        request.path_params["name"],
        wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        with_payload=wanted.with_payload if wanted.with_payload is not None else True,
        with_vectors=wanted.with_vector or False,
    )
    return {"points": points, "next_page_offset": following}


async def count(client: AsyncQdrantClient, request: Request) -> Any:
    wanted = models.CountRequest.model_validate(await request.json())
    return await client.count(request.path_params["name"], wanted.filter)


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/aliases", aliases),
    ("POST", "/collections/aliases", change_aliases),
    ("GET", "/collections", collections),
    ("GET", "/collections/{name}", collection),
    ("PUT", "/collections/{name}", create),
    ("DELETE", "/collections/{name}", delete),
    ("PUT", "/collections/{name}/index", create_field_index),
    ("PUT", "/collections/{name}/points", upsert),
    ("POST", "/collections/{name}/points/delete", delete_points),
    ("POST", "/collections/{name}/points/query/batch", query),
    ("POST", "/collections/{name}/points/scroll", scroll),
    ("POST", "/collections/{name}/points/count", count),
]


def application() -> Starlette:
    """Return the web application, with an empty index of its own."""
    client = AsyncQdrantClient(":memory:")

    def endpoint(handle: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                result = await handle(client, request)
            except ValueError as error:
                status = 404 if "not found" in str(error) else 400
                return JSONResponse({"status": {"error": str(error)}, "time": 0.0}, status)
            return JSONResponse({"result": to_jsonable_python(result, by_alias=True), "status": "ok", "time": 0.0})

        return answer

    async def about(_: Request) -> Response:
        return JSONResponse({"title": "qdrant - vector search engine", "version": VERSION})

    routes = [Route(path, endpoint(handle), methods=[method]) for method, path, handle in ROUTES]
    return Starlette(routes=[Route("/", about), *routes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=6333)
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    uvicorn.run(application(), port=parser.parse_args().port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
