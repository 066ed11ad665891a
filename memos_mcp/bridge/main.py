"""The stdio bridge: what a client launches. It finds or starts the engine, and forwards lines in both directions.

Standard library only, and little of it: its start-up time and memory are the price of each further client. It has one
thread, which waits in `poll`. When the engine stops, the client's handshake is replayed to the next one.
"""

import os
import select
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from memos_mcp.bridge.client_io import (
    STDIN,
    STDOUT,
    ClientClosed,
    ClientPipes,
    ParentProcess,
    catch_signals,
    open_standard_streams,
    report,
)
from memos_mcp.bridge.engine_link import EngineLink
from memos_mcp.bridge.pending import Handshake, PendingRequests, answer_in, error_line, request_in
from memos_mcp.ipc.connect import SEE_LOG, Unreachable, connect
from memos_mcp.ipc.handshake import PREFIX, Wait, decode, request_line
from memos_mcp.ipc.line_buffer import length_error
from memos_mcp.ipc.run_dir import RunDir, home_of, settings_in

FULL_BYTES: Final = 1024 * 1024
"""With so many bytes buffered in one direction, nothing more is read for it."""

GRACE_SECONDS: Final = 0.6
PARENT_SECONDS: Final = 0.5
STABLE_SECONDS: Final = 5.0

MAX_SILENT_ENGINES: Final = 5
"""After so many engines in a row that exited without an answer, a request is refused instead of being sent again."""

INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
OUTCOME_UNKNOWN: Final = -32050
UNREACHABLE: Final = -32051

OUTCOME_UNKNOWN_TEXT: Final = (
    "memOS.as stopped during this call and is available again. The call may or may not have taken effect. "
    "Repeat it: storing or registering the same thing again changes nothing."
)
SILENT_TEXT: Final = f"The engine of memOS.as keeps exiting before it answers. {SEE_LOG}"
STOPPED_TEXT: Final = "The input was closed, or a signal arrived, before an engine answered. Repeat the call."
REPLAY_TEXT: Final = "The current engine does not accept this session. Connect again."
TOO_LONG_TEXT: Final = "The answer is longer than 16 MiB. Ask for less in one call."

CONFIRMED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


def main() -> int:
    """Serve one client over standard input and output; return the exit code: 2 when the data folder is not known."""
    os.umask(0o077)
    open_standard_streams()
    try:
        bridge = Bridge(dict(os.environ))  # noqa: TID251  # the scope: pydantic would take too long to import
    except LookupError as error:
        report(str(error))
        return 2
    bridge.run()
    return 0


class Bridge:
    """One client, and at any time an engine, an attempt to connect to one, or neither."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._run_dir = RunDir(home_of(environment))
        self._request = request_line("serve", settings_in(environment))
        self._client = ClientPipes()
        self._pending = PendingRequests()
        self._held: deque[bytes] = deque()
        self._link: EngineLink | None = None
        self._replaying = False
        self._connecting: Generator[Wait, bool | None, socket.socket] | None = None
        self._awaited: Wait = (None, 0.0)
        self._refusal: str | None = None
        self._silent_engines = 0
        self._deadline: float | None = None

    def run(self) -> None:
        """Forward lines until the client closes, or a signal stops the process."""
        signalled, parent = catch_signals(), ParentProcess()
        self._connect()
        try:
            while not self._is_done():
                ready = self._wait(signalled, parent.descriptor)
                if signalled in ready:
                    os.read(signalled, 1)
                    self._stop_within(GRACE_SECONDS if self._deadline is None else 0)
                if parent.has_exited(ready):
                    return
                self._step(ready)
            self._answer_remaining()
        except ClientClosed:
            return
        finally:
            if self._link is not None:
                self._link.close()

    def _step(self, ready: Mapping[int, int]) -> None:
        if STDIN in ready:
            self._read_client()
        if ready.get(STDOUT, 0) & ~select.POLLOUT:
            raise ClientClosed
        if STDOUT in ready:
            self._client.flush()
        awaited, until = self._awaited
        if awaited in ready or time.monotonic() >= until:
            self._continue_connecting(awaited in ready)
        if self._link is not None:
            readable = ready.get(self._link.fileno(), 0) & ~select.POLLOUT
            self._exchange(self._link, reads=bool(readable) and self._client.pending < FULL_BYTES)
        if self._held and self._link is None and self._connecting is None:
            self._connect()

    def _wait(self, signalled: int, parent: int | None) -> dict[int, int]:
        """Wait until something can be done; return the events by file descriptor."""
        poll, now = select.poll(), time.monotonic()
        for descriptor, events in self._interests():
            poll.register(descriptor, events)
        poll.register(signalled, select.POLLIN)
        until = [] if self._deadline is None else [self._deadline]
        if parent is None:
            until.append(now + PARENT_SECONDS)
        else:
            poll.register(parent, select.POLLIN)
        if self._connecting is not None:
            until.append(self._awaited[1])
        return dict(poll.poll(max(0.0, min(until) - now) * 1000 + 1 if until else None))

    def _interests(self) -> Iterator[tuple[int, int]]:
        buffered = sum(map(len, self._held))
        if self._link is not None:
            buffered += sum(map(len, self._link.unsent))
            reads = select.POLLIN if self._client.pending < FULL_BYTES else 0
            if events := reads | (select.POLLOUT if self._link.has_unsent else 0):
                yield self._link.fileno(), events
        if self._client.reading and self._deadline is None and buffered < FULL_BYTES:
            yield STDIN, select.POLLIN
        yield STDOUT, select.POLLOUT if self._client.pending else 0
        if self._connecting is not None and self._awaited[0] is not None:
            yield self._awaited[0], select.POLLIN

    def _read_client(self) -> None:
        for line, whole in self._client.read():
            if whole:
                self._held.append(line + b"\n")
            else:
                request_id, message = length_error(line)
                self._client.write(error_line(request_id, INVALID_REQUEST, message))
        if not self._client.reading:
            self._stop_within(GRACE_SECONDS)

    def _connect(self) -> None:
        self._connecting = connect(self._run_dir, self._request, self._environment, report)
        self._continue_connecting(None)

    def _continue_connecting(self, happened: bool | None) -> None:  # noqa: FBT001  # what a generator is sent
        """Advance the connection attempt. `happened`: whether what it waited for did; None at the beginning."""
        if self._connecting is None:
            return
        try:
            descriptor, seconds = self._connecting.send(happened)
        except StopIteration as connected:
            self._connecting = None
            self._start_session(connected.value)
        except Unreachable as error:
            self._connecting = None
            self._refuse_held(str(error))
        else:
            self._awaited = (descriptor, time.monotonic() + seconds)

    def _start_session(self, connection: socket.socket) -> None:
        """Use this engine; replay the handshake if the client has made it with another one."""
        self._link = EngineLink(connection)
        if self._pending.handshake is not None:
            self._replaying = True
            self._link.unsent.append(self._pending.handshake.line)

    def _exchange(self, link: EngineLink, *, reads: bool) -> None:
        if reads:
            for line, whole in link.read():
                self._handle_engine_line(link, line, whole=whole)
        if link.closed:
            self._drop_engine(link)
            return
        if not self._replaying and not link.stopping:
            link.unsent.extend(self._held)
            self._held.clear()
        for line in link.flush():
            if not self._replaying:
                self._pending.record_sent(line)
        if not (self._client.reading or self._replaying or self._held or link.unsent):
            link.end_sending()  # the engine answers what it has read, lines without an id too, and closes

    def _handle_engine_line(self, link: EngineLink, line: bytes, *, whole: bool) -> None:
        if line.startswith(PREFIX):
            self._handle_private_line(link, decode(line) or {})
        elif self._replaying and self._pending.handshake is not None:
            self._handle_replay_answer(link, line, self._pending.handshake)
        else:
            self._silent_engines = 0
            self._pending.record_answer(line)
            answer = line + b"\n" if whole else error_line(answer_in(line)[0], INTERNAL_ERROR, TOO_LONG_TEXT)
            self._client.write(answer)

    def _handle_private_line(self, link: EngineLink, payload: Mapping[str, Any]) -> None:
        if payload.get("answer") == "refused":
            self._refusal = str(payload.get("reason"))
        link.stopping = link.stopping or payload.get("answer") in ("leaving", "refused")

    def _handle_replay_answer(self, link: EngineLink, line: bytes, handshake: Handshake) -> None:
        """Handle the answer to a replayed handshake. The client has had its answer from another engine."""
        request_id, succeeded = answer_in(line)
        if request_id != handshake.request_id:
            return
        self._replaying = False
        if not succeeded and not link.stopping:
            link.stopping, self._refusal = True, REPLAY_TEXT
        elif succeeded and handshake.confirmed:
            link.unsent.append(CONFIRMED)

    def _drop_engine(self, link: EngineLink) -> None:
        """Close the link to an engine that has stopped; resend or answer the requests that were under way."""
        link.close()
        resent, unknown = self._pending.abandon()
        unsent = [] if self._replaying else [line for line in link.unsent if line is not CONFIRMED]
        self._link, self._replaying = None, False
        self._held.extendleft(reversed([*resent, *unsent]))
        for request_id in unknown:
            self._client.write(error_line(request_id, OUTCOME_UNKNOWN, OUTCOME_UNKNOWN_TEXT))
        if self._refusal is not None:
            self._refuse_held(self._refusal)
        elif not link.stopping:
            self._recover(lasted=time.monotonic() - link.since > STABLE_SECONDS, resends=bool(resent))

    def _recover(self, *, lasted: bool, resends: bool) -> None:
        """After a crash, have an engine ready for the next call, but do not restart one that keeps crashing."""
        self._silent_engines = 0 if lasted and not resends else self._silent_engines + 1
        if self._silent_engines >= MAX_SILENT_ENGINES:
            self._refuse_held(SILENT_TEXT)
        elif lasted and self._deadline is None:
            self._connect()

    def _refuse_held(self, reason: str) -> None:
        """Answer the held requests with an error: there is no engine for them."""
        report(reason)
        self._refusal, self._silent_engines = None, 0
        for line in self._held:
            if (request_id := request_in(line)) is not None:
                self._client.write(error_line(request_id, UNREACHABLE, f"memOS.as cannot be reached. {reason}"))
            else:
                self._pending.record_sent(line)  # a confirmed handshake is confirmed to the next engine
        self._held.clear()

    def _stop_within(self, seconds: float) -> None:
        """Stop when everything under way is answered, at the latest after this time."""
        self._deadline = time.monotonic() + seconds

    def _is_done(self) -> bool:
        if self._deadline is None:
            return False
        waits = self._client.pending or self._held or self._pending.under_way
        if self._link is not None:
            waits = waits or self._link.unsent or not self._client.reading
        return not waits or time.monotonic() >= self._deadline

    def _answer_remaining(self) -> None:
        """Answer the remaining requests with errors: a client that has closed the input may still read."""
        if self._link is not None:
            self._drop_engine(self._link)
        if self._held:
            self._refuse_held(STOPPED_TEXT)
