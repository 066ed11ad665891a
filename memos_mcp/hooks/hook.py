"""Runs one hook: reads the event, answers it within its time, and keeps the message if that is asked for.

A client waits for its hooks, shows what they print and takes some exit codes for a veto. So this prints an answer or
nothing, and exits with 0 whatever happens. Standard library only: an import of what the commands use takes longer than
a hook may.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from memos_mcp.hooks.engine_call import call
from memos_mcp.hooks.events import RULES, HookEvent, answer_with, read_event
from memos_mcp.hooks.hook_options import Options, read_options
from memos_mcp.hooks.messages import message_of
from memos_mcp.hooks.recall import Recalled, loadout_for, near_memories, question_for, starting_memories
from memos_mcp.hooks.shown_memories import ShownMemories
from memos_mcp.ipc.run_dir import home_of

SPARE_SECONDS: Final = 0.13
"""So much later the process ends even when its input or the data folder does not answer."""

KEEP_SECONDS: Final = 20.0
"""For a message to be stored, in the background."""

STDIN, STDOUT, STDERR = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run the hook with these arguments, which `memos-as hook --help` explains; return 0."""
    os.umask(0o077)
    with suppress(Exception):  # the client must continue; memos-as status and doctor show the cause
        options = read_options(arguments)
        _exit_after(options.within / 1000 + SPARE_SECONDS)
        _run(options)
    _exit_after(0)  # never: while Python ends it has no handler, and the signal would kill the process
    return 0


def _run(options: Options) -> None:
    if options.event not in RULES:
        sys.stderr.write(f"memos-as hook: no event {options.event!r}. There are: {', '.join(RULES)}\n")
        return
    event = read_event(options.event, json.loads(sys.stdin.buffer.read()))
    if event is None:
        return
    environment = dict(os.environ)  # noqa: TID251  # the scope: pydantic would take too long to import
    if options.namespace is not None:
        environment["MEMOS_NAMESPACE"] = options.namespace
    _answer(event, options, environment)
    if options.capture and (message := message_of(event, datetime.now(UTC))) is not None:
        _keep(message, environment)


def _answer(event: HookEvent, options: Options, environment: Mapping[str, str]) -> None:
    """Print what is recalled, if the client takes it, and remember that it was shown."""
    shown = ShownMemories(home_of(environment), event.session)
    if event.rule.meaning in ("start", "forget"):
        shown.forget()
    if not event.rule.takes_context:
        return
    recalled = _recall(event, options, environment, shown)
    if recalled is not None:
        sys.stdout.write(json.dumps(answer_with(event, recalled.text)) + "\n")
        sys.stdout.flush()
        shown.add(recalled.ids)


def _recall(
    event: HookEvent, options: Options, environment: Mapping[str, str], shown: ShownMemories
) -> Recalled | None:
    deadline = time.monotonic() + options.within / 1000
    with suppress(TimeoutError, OSError):
        if event.rule.meaning == "start":
            asked = loadout_for(event.folder, options.loadout, options.tokens)
            answer = None if asked is None else call(environment, "build_loadout", asked, deadline)
            return None if answer is None else starting_memories(answer, options.tokens)
        if event.text:
            answer = call(environment, "query_memory", question_for(event.text, options.tokens), deadline)
            if answer is not None:
                return near_memories(answer, event.session, event.text, shown.read(), options.tokens)
    return None


def _keep(message: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Store a message in a process of its own, which the client does not wait for."""
    if os.fork():
        return
    with suppress(Exception):
        os.setsid()
        _exit_after(KEEP_SECONDS)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (STDIN, STDOUT, STDERR):
            os.dup2(null, descriptor)
        call(environment, "store_memory", message, time.monotonic() + KEEP_SECONDS)
    os._exit(0)


def _exit_after(seconds: float) -> None:
    """Exit with 0 after this time; 0 cancels that."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, seconds)
