"""`memos-as` as the examples run it: a command is forked from a process with the program imported, the bridge is not.

python -IS memos_as.py SOCKET PROGRAM ARGUMENT...
"""

import json
import os
import signal
import socket
import sys


def main(address: str, program: str, *arguments: str) -> int:
    """Hand the command on with the files, folder, variables and signals of this process; return its exit code."""
    if not arguments:
        os.execv(program, [program])
    request = {"arguments": arguments, "environment": dict(os.environ), "cwd": os.getcwd(), "tty": False}  # noqa: PTH109  # pathlib takes 20 ms
    with socket.socket(socket.AF_UNIX) as replies:
        replies.connect(address)
        socket.send_fds(replies, [b"+"], [0, 1, 2])
        replies.sendall(json.dumps(request).encode())
        replies.shutdown(socket.SHUT_WR)
        pid = int.from_bytes(replies.recv(4), "big")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        code = int.from_bytes(replies.recv(4), "big", signed=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
