"""The SDK's server with one tool that does nothing, over streamable HTTP: what a call costs without memOS.as.

python benchmarks/noop_server.py --port 8799
"""

import argparse

from mcp.server import MCPServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    server = MCPServer("noop", version="1", log_level="ERROR")
    server.tool()(nothing)
    server.run("streamable-http", host="127.0.0.1", port=arguments.port, json_response=True)


def nothing() -> str:
    """Do nothing."""
    return ""


if __name__ == "__main__":
    main()
