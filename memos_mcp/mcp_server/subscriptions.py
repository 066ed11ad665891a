"""Notifies clients of changes of resources: on a stream, or in the session of a client of an older version."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp import MCPError, types
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ServerEvent

from memos_mcp.app import App
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.calling_client import scope_of
from memos_mcp.mcp_server.resources import find
from memos_mcp.mcp_server.tool_caller import ToolCaller

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS: Final = 100
"""Of one stream, or of the session of an older client: each is a task, or an entry, for as long as that lasts."""

_SCOPES: Final = "memos.subscriptions"


_Watch: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]
"""Begins to watch a resource: takes what to call upon a change, and returns what ends that."""


@asynccontextmanager
async def notifying(_server: Server[Any]) -> AsyncIterator[TaskGroup]:
    """Run the tasks that notify older clients, until the server ends: the lifespan of a server."""
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


class Subscriptions:
    """Answers the requests that begin and end subscriptions. What cannot be read cannot be subscribed to."""

    def __init__(self, app: App, of_connection: Scope, call: ToolCaller) -> None:
        self._app = app
        self._of_connection = of_connection
        self._call = call

    async def listen(
        self, context: ServerRequestContext[Any], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve a stream of notifications; its first one names the resources that it is about."""
        watches = {}
        for uri in (params.notifications.resource_subscriptions or [])[:MAX_SUBSCRIPTIONS]:
            try:
                watches[uri] = await self._watch(context, uri)
            except MCPError as error:
                logger.debug("not subscribed: %s", error.error.message)
        accepted = types.SubscriptionFilter(resource_subscriptions=list(watches))
        handler = ListenHandler(_ResourceEvents(watches))
        return await handler(context, params.model_copy(update={"notifications": accepted}))

    async def subscribe(
        self, context: ServerRequestContext[TaskGroup], params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Notify this session of every change of a resource."""
        watch = await self._watch(context, params.uri)
        scopes = _scopes(context)
        if params.uri in scopes:
            return types.EmptyResult()
        if len(scopes) >= MAX_SUBSCRIPTIONS:
            raise MCPError(
                types.INVALID_PARAMS,
                f"This session has {MAX_SUBSCRIPTIONS} subscriptions, the most that it can. Unsubscribe from one.",
            )
        scope = scopes[params.uri] = anyio.CancelScope()
        try:
            await context.lifespan_context.start(self._notify, context, watch, params.uri, scope)
        except BaseException:
            _forget(scopes, params.uri, scope)
            raise
        return types.EmptyResult()

    async def unsubscribe(
        self, context: ServerRequestContext[Any], params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """End a subscription of this session, if there is one."""
        scope = _scopes(context).pop(params.uri, None)
        if scope is not None:
            scope.cancel()
        return types.EmptyResult()

    async def _watch(self, context: ServerRequestContext[Any], uri: str) -> _Watch:
        """Return what watches a resource; raise `MCPError` when it cannot be read."""
        kind, found = await find(self._call, context, uri)
        versions, scope = self._app.indexer.indexed_versions, scope_of(context, self._of_connection)
        match kind:
            case "memory":
                return partial(versions.watch, "memory", UUID(found["memory_id"]))
            case "tool":
                tools = await self._app.tools.get(scope, [found["tool_id"]])
                return partial(versions.watch, "tool", tools[found["tool_id"]].id)
            case _:
                return await self._app.loadouts.watches.watch(found["name"], scope.namespace)

    async def _notify(
        self,
        context: ServerRequestContext[Any],
        watch: _Watch,
        uri: str,
        scope: anyio.CancelScope,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        changed = anyio.Event()

        def record() -> None:
            changed.set()

        end = watch(record)
        task_status.started()
        try:
            with scope:
                while True:
                    await changed.wait()
                    changed = anyio.Event()
                    await context.session.send_resource_updated(uri)
        except Exception:  # a session that cannot be written to must not end those of others
            logger.debug("a subscription ended", exc_info=True)
        finally:
            end()
            _forget(_scopes(context), uri, scope)


class _ResourceEvents(InMemorySubscriptionBus):
    """The events of one stream: those of its resources, by the URIs that the client gave."""

    def __init__(self, watches: Mapping[str, _Watch]) -> None:
        super().__init__()
        self._watches = watches

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Call the listener with every change; return what ends that."""
        with ExitStack() as stack:
            for uri, watch in self._watches.items():
                stack.callback(watch(partial(listener, ResourceUpdated(uri))))
            stack.callback(super().subscribe(listener))
            return stack.pop_all().close


def _scopes(context: ServerRequestContext[Any]) -> dict[str, anyio.CancelScope]:
    """Return the subscriptions of a session by URI; they end with it."""
    connection = context.session._connection  # noqa: SLF001 - the SDK passes it to handlers in no other way
    if _SCOPES not in connection.state:
        connection.state[_SCOPES] = {}
        connection.exit_stack.callback(_cancel, connection.state[_SCOPES])
    scopes: dict[str, anyio.CancelScope] = connection.state[_SCOPES]
    return scopes


def _forget(scopes: dict[str, anyio.CancelScope], uri: str, scope: anyio.CancelScope) -> None:
    """Remove a subscription that has ended, so that the client can begin it again, unless it has done so."""
    if scopes.get(uri) is scope:
        del scopes[uri]


def _cancel(scopes: Mapping[str, anyio.CancelScope]) -> None:
    for scope in scopes.values():
        scope.cancel()
