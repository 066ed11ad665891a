import os
import socket
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.transports.fd_streams import Receive, receiving, sending

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_one_socket_is_read_and_written_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    data = os.urandom(4 << 20)
    heard = {ours: b"", theirs: b""}

    async def hear(end: socket.socket) -> None:
        receive = receiving(end.fileno())
        while chunk := await receive():
            heard[end] += chunk

    async def say(end: socket.socket) -> None:
        await sending(end.fileno())(data)
        end.shutdown(socket.SHUT_WR)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for end in pair:
                tasks.start_soon(hear, end)
                tasks.start_soon(say, end)
    assert heard == {ours: data, theirs: data}


async def test_a_peer_that_is_gone_is_the_end_of_input_and_an_error_of_output(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    receive, send = receiving(ours.fileno()), sending(ours.fileno())
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect_the_end, receive)
            await anyio.wait_all_tasks_blocked()
            ours.send(b"unread")
            theirs.close()  # with bytes unread, which resets the connection
        with pytest.raises(BrokenPipeError):
            await send(b"too late")


async def expect_the_end(receive: Receive) -> None:
    assert await receive() == b""


async def test_a_peer_that_leaves_in_the_middle_of_what_it_is_sent_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave_when_all_wait, theirs)
            with pytest.raises(ConnectionError):
                await sending(ours.fileno())(bytes(16 << 20))


async def leave_when_all_wait(end: socket.socket) -> None:
    await anyio.wait_all_tasks_blocked()
    end.close()


@pytest.fixture
def endless() -> Iterator[int]:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


async def test_a_peer_that_never_stops_sending_leaves_the_loop_to_others_and_can_be_cancelled(endless: int) -> None:
    turns = 0

    async def read() -> None:
        nonlocal turns
        receive = receiving(endless)
        while await receive():
            turns += 1
            assert turns < 1_000

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        while not turns:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert turns < 10
