"""`python -m memos_mcp` and the command `memos-as`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Be a client's bridge when nothing is asked for; else run the command. Return the exit code.

    Only what is needed is imported: a client waits for the bridge, not for the command line.
    """
    if len(sys.argv) > 1 or sys.platform == "win32":
        from memos_mcp.cli.command_line import main as run_command

        return run_command()
    from memos_mcp.bridge.main import main as be_bridge

    return be_bridge()


if __name__ == "__main__":
    sys.exit(main())
