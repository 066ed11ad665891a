"""The stdio bridge: what a client launches. It finds or starts the engine, and passes lines both ways.

Standard library only, and little of it: its start and its memory are what each further client costs. One thread that
waits in `poll`. When the engine ends, the next one is told the client's handshake again.
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
    EngineLink,
    ParentProcess,
    fill_standard_descriptors,
    signals,
    tell,
)
from memos_mcp.bridge.pending import Handshake, PendingRequests, answer_in, error_line, request_in
from memos_mcp.ipc.connect import CAUSE_IN_LOG, Unreachable, Wait, seek
from memos_mcp.ipc.handshake import PREFIX, decode, greeting
from memos_mcp.ipc.line_buffer import refused_length
from memos_mcp.ipc.run_dir import RunDir, home_of, settings_in

FULL_BYTES: Final = 1024 * 1024
"""With so much under way in one direction, no more is read for it."""

GRACE_SECONDS: Final = 0.6
PARENT_SECONDS: Final = 0.5
STABLE_SECONDS: Final = 5.0

SILENT_ENGINES: Final = 5
"""After so many engines in a row that ended without an answer, a request is refused instead of being sent again."""

INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
IN_DOUBT: Final = -32050
UNREACHABLE: Final = -32051

IN_DOUBT_TEXT: Final = (
    "memOS.as ended during this call, and can be called again. The call may or may not have been done. "
    "Repeat it: storing or registering the same thing again changes nothing."
)
SILENT_TEXT: Final = f"The engine of memOS.as ends again and again before it answers. {CAUSE_IN_LOG}"
ENDED_TEXT: Final = "The input ended, or a signal came, before an engine answered. Repeat the call."
REPLAY_TEXT: Final = "The engine that is there now does not go on with this session. Connect again."
TOO_LONG_TEXT: Final = "The answer is longer than 16 MiB. Ask for less in one call."

CONFIRMED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


def main() -> int:
    """Serve one client over standard input and output; return the exit code (2 when no data folder can be named)."""
    os.umask(0o077)
    fill_standard_descriptors()
    try:
        bridge = Bridge(dict(os.environ))  # noqa: TID251  # the scope, before there is a pydantic to read it
    except LookupError as error:
        tell(str(error))
        return 2
    bridge.run()
    return 0


class Bridge:
    """One client, and the engine that it has just now: sought, linked, or none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._place = RunDir(home_of(environment))
        self._greeting = greeting("serve", settings_in(environment))
        self._client = ClientPipes()
        self._calls = PendingRequests()
        self._held: deque[bytes] = deque()
        self._link: EngineLink | None = None
        self._replaying = False
        self._search: Generator[Wait, bool | None, socket.socket] | None = None
        self._awaited: Wait = (None, 0.0)
        self._reason: str | None = None
        self._silent_engines = 0
        self._end: float | None = None

    def run(self) -> None:
        """Pass lines until the client leaves, or the process is told to end."""
        alarm, parent = signals(), ParentProcess()
        self._seek()
        try:
            while not self._is_over():
                ready = self._wait(alarm, parent.descriptor)
                if alarm in ready:
                    os.read(alarm, 1)
                    self._finish(GRACE_SECONDS if self._end is None else 0)
                if parent.is_gone(ready):
                    return
                self._step(ready)
            self._take_leave()
        except ClientClosed:
            return
        finally:
            if self._link is not None:
                self._link.close()

    def _step(self, ready: Mapping[int, int]) -> None:
        if STDIN in ready:
            self._hear_client()
        if ready.get(STDOUT, 0) & ~select.POLLOUT:
            raise ClientClosed
        if STDOUT in ready:
            self._client.flush()
        awaited, until = self._awaited
        if awaited in ready or time.monotonic() >= until:
            self._search_on(awaited in ready)
        if self._link is not None:
            said = ready.get(self._link.fileno(), 0) & ~select.POLLOUT
            self._exchange(self._link, hears=bool(said) and self._client.pending < FULL_BYTES)
        if self._held and self._link is None and self._search is None:
            self._seek()

    def _wait(self, alarm: int, parent: int | None) -> dict[int, int]:
        """Wait until something can be done; return which descriptors are ready."""
        poll, now = select.poll(), time.monotonic()
        for descriptor, events in self._interests():
            poll.register(descriptor, events)
        poll.register(alarm, select.POLLIN)
        until = [] if self._end is None else [self._end]
        if parent is None:
            until.append(now + PARENT_SECONDS)
        else:
            poll.register(parent, select.POLLIN)
        if self._search is not None:
            until.append(self._awaited[1])
        return dict(poll.poll(max(0.0, min(until) - now) * 1000 + 1 if until else None))

    def _interests(self) -> Iterator[tuple[int, int]]:
        waiting = sum(map(len, self._held))
        if self._link is not None:
            waiting += sum(map(len, self._link.unsent))
            hears = select.POLLIN if self._client.pending < FULL_BYTES else 0
            if events := hears | (select.POLLOUT if self._link.sends else 0):
                yield self._link.fileno(), events
        if self._client.reading and self._end is None and waiting < FULL_BYTES:
            yield STDIN, select.POLLIN
        yield STDOUT, select.POLLOUT if self._client.pending else 0
        if self._search is not None and self._awaited[0] is not None:
            yield self._awaited[0], select.POLLIN

    def _hear_client(self) -> None:
        for line, whole in self._client.hear():
            if whole:
                self._held.append(line + b"\n")
            else:
                request_id, message = refused_length(line)
                self._client.say(error_line(request_id, INVALID_REQUEST, message))
        if not self._client.reading:
            self._finish(GRACE_SECONDS)

    def _seek(self) -> None:
        self._search = seek(self._place, self._greeting, self._environment, tell)
        self._search_on(None)

    def _search_on(self, came: bool | None) -> None:  # noqa: FBT001  # what a generator is sent
        """Take the search a step further; at its beginning nothing was waited for."""
        if self._search is None:
            return
        try:
            descriptor, seconds = self._search.send(came)
        except StopIteration as found:
            self._search = None
            self._begin(found.value)
        except Unreachable as error:
            self._search = None
            self._refuse(str(error))
        else:
            self._awaited = (descriptor, time.monotonic() + seconds)

    def _begin(self, connection: socket.socket) -> None:
        """Go on with this engine; tell it the handshake if the client has made one with another."""
        self._link = EngineLink(connection)
        if self._calls.handshake is not None:
            self._replaying = True
            self._link.unsent.append(self._calls.handshake.line)

    def _exchange(self, link: EngineLink, *, hears: bool) -> None:
        if hears:
            for line, whole in link.hear():
                self._hear_engine(link, line, whole=whole)
        if link.ended:
            self._lose(link)
            return
        if not self._replaying and not link.leaving:
            link.unsent.extend(self._held)
            self._held.clear()
        for line in link.flush():
            if not self._replaying:
                self._calls.sent(line)
        if not (self._client.reading or self._replaying or self._held or link.unsent):
            link.say_no_more()  # the engine answers what it has heard, lines without an id too, and closes

    def _hear_engine(self, link: EngineLink, line: bytes, *, whole: bool) -> None:
        if line.startswith(PREFIX):
            self._be_told(link, decode(line) or {})
        elif self._replaying and self._calls.handshake is not None:
            self._hear_replayed(link, line, self._calls.handshake)
        else:
            self._silent_engines = 0
            self._calls.answered(line)
            self._client.say(line + b"\n" if whole else error_line(answer_in(line)[0], INTERNAL_ERROR, TOO_LONG_TEXT))

    def _be_told(self, link: EngineLink, told: Mapping[str, Any]) -> None:
        if told.get("answer") == "refused":
            self._reason = str(told.get("reason"))
        link.leaving = link.leaving or told.get("answer") in ("leaving", "refused")

    def _hear_replayed(self, link: EngineLink, line: bytes, handshake: Handshake) -> None:
        """Hear what only this process has asked: the client has had its answer from another engine."""
        request_id, succeeded = answer_in(line)
        if request_id != handshake.request_id:
            return
        self._replaying = False
        if not succeeded and not link.leaving:
            link.leaving, self._reason = True, REPLAY_TEXT
        elif succeeded and handshake.confirmed:
            link.unsent.append(CONFIRMED)

    def _lose(self, link: EngineLink) -> None:
        """Take leave of an engine that has ended, and of what it may or may not have done."""
        link.close()
        again, in_doubt = self._calls.abandoned()
        unsent = [] if self._replaying else [line for line in link.unsent if line is not CONFIRMED]
        self._link, self._replaying = None, False
        self._held.extendleft(reversed([*again, *unsent]))
        for request_id in in_doubt:
            self._client.say(error_line(request_id, IN_DOUBT, IN_DOUBT_TEXT))
        if self._reason is not None:
            self._refuse(self._reason)
        elif not link.leaving:
            self._recover(lasted=time.monotonic() - link.since > STABLE_SECONDS, asks_again=bool(again))

    def _recover(self, *, lasted: bool, asks_again: bool) -> None:
        """After a crash, have an engine ready for the next call, but do not start one that crashes again and again."""
        self._silent_engines = 0 if lasted and not asks_again else self._silent_engines + 1
        if self._silent_engines >= SILENT_ENGINES:
            self._refuse(SILENT_TEXT)
        elif lasted and self._end is None:
            self._seek()

    def _refuse(self, reason: str) -> None:
        """Answer what waits for an engine that there will not be."""
        tell(reason)
        self._reason, self._silent_engines = None, 0
        for line in self._held:
            if (request_id := request_in(line)) is not None:
                self._client.say(error_line(request_id, UNREACHABLE, f"memOS.as cannot be reached. {reason}"))
            else:
                self._calls.sent(line)  # that the handshake is confirmed: the engine that comes is told so
        self._held.clear()

    def _finish(self, seconds: float) -> None:
        """End when what is under way is answered, at the latest after so long."""
        self._end = time.monotonic() + seconds

    def _is_over(self) -> bool:
        if self._end is None:
            return False
        waits = self._client.pending or self._held or self._calls.under_way
        if self._link is not None:
            waits = waits or self._link.unsent or not self._client.reading
        return not waits or time.monotonic() >= self._end

    def _take_leave(self) -> None:
        """Answer what is left, so that nobody takes it for done: who has closed the input may still listen."""
        if self._link is not None:
            self._lose(self._link)
        if self._held:
            self._refuse(ENDED_TEXT)
