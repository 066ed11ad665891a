"""A pgbouncer in transaction mode in front of a test server."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import chown, which
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

PROGRAM = which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))

# Round robin: two transactions in a row are on different sessions, so nothing works by chance.
CONFIG = """\
[databases]
* = host={host} port={port} user=postgres pool_size=12

[pgbouncer]
pool_mode = transaction
server_round_robin = 1
auth_type = any
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
unix_socket_mode = 0777
max_client_conn = 500
server_idle_timeout = 5
log_connections = 0
log_disconnections = 0
log_stats = 0
{extra}
"""


@contextmanager
def pgbouncer(server_url: str, extra: str = "") -> Iterator[str]:
    """Start a pooler in front of a server that listens on a Unix socket; yield the pooler's address."""
    assert PROGRAM is not None
    query = parse_qs(urlsplit(server_url).query)
    host, port = query["host"][0], query.get("port", ["5432"])[0]
    # It refuses to run as root, and the server's socket is its user's.
    owner = Path(host).stat()
    user: dict[str, Any] = (
        {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with TemporaryDirectory(prefix="memos-pgbouncer-") as folder:
        config = Path(folder, "pgbouncer.ini")
        config.write_text(CONFIG.format(host=host, port=port, folder=folder, extra=extra))
        for path in (folder, config):  # a umask may hide the file from the server's user
            chown(path, owner.st_uid, owner.st_gid)
        process = subprocess.Popen([PROGRAM, config], **user, cwd="/", stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            log = iter(process.stderr.readline, "")
            assert any("process up" in line for line in log)
            drain = Thread(target=process.stderr.read, daemon=True)  # a pooler that cannot write its log stops serving
            drain.start()
            yield urlunsplit(urlsplit(server_url)._replace(query=urlencode({"host": folder, "port": port})))
        finally:
            process.terminate()
            process.wait(timeout=10)
    drain.join()
    process.stderr.close()
