"""A recorder and a state in which every metric has a value."""

from datetime import UTC, datetime, timedelta

from memos_mcp.domain.engines import BuildProgress
from memos_mcp.domain.index import IndexReport, Shape
from memos_mcp.domain.index_queue import QueueState
from memos_mcp.domain.telemetry import STAGES, PoolState
from memos_mcp.telemetry.recorder import Recorder
from memos_mcp.telemetry.server_state import ServerState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def recorder() -> Recorder:
    """Return a recorder that has recorded something of each kind."""
    recorder = Recorder()
    with recorder.call("query_memory") as call:
        for stage in STAGES:
            with recorder.stage(stage):
                pass
        call.outcome = "ok"
    recorder.model_loaded("embedding", 1.5, succeeded=True)
    with recorder.client("stdio"):
        pass
    return recorder


def state() -> ServerState:
    """Return the state of a server that is building a new generation."""
    return ServerState(
        at=NOW,
        queue=QueueState({"memory": 2, "tool": 1, "task": 0}, 0, NOW - timedelta(seconds=90), None),
        index=IndexReport("00000000000c", Shape("model", 3), {"memory": 5}, {"memory": 7}),
        building=BuildProgress(3, 10, None),
        pool=PoolState(open=4, in_use=3, limit=10, waits=2),
    )
