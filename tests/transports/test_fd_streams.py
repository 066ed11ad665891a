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
    received = {ours: b"", theirs: b""}

    async def read(end: socket.socket) -> None:
        receive = receiving(end.fileno())
        while chunk := await receive():
            received[end] += chunk

    async def write(end: socket.socket) -> None:
        await sending(end.fileno())(data)
        end.shutdown(socket.SHUT_WR)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for end in pair:
                tasks.start_soon(read, end)
                tasks.start_soon(write, end)
    assert received == {ours: data, theirs: data}


async def test_a_closed_peer_is_the_end_of_input_and_an_error_of_output(
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


async def test_a_peer_that_closes_while_it_is_sent_data_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close_when_all_wait, theirs)
            with pytest.raises(ConnectionError):
                await sending(ours.fileno())(bytes(16 << 20))


async def close_when_all_wait(end: socket.socket) -> None:
    await anyio.wait_all_tasks_blocked()
    end.close()


@pytest.fixture
def endless() -> Iterator[int]:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


async def test_a_peer_that_never_stops_sending_does_not_block_the_loop_and_can_be_cancelled(endless: int) -> None:
    reads = 0

    async def read() -> None:
        nonlocal reads
        receive = receiving(endless)
        while await receive():
            reads += 1
            assert reads < 1_000

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        while not reads:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert reads < 10
