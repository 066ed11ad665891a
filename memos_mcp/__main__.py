"""`python -m memos_mcp` and the command `memos-as`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the bridge when there are no arguments, otherwise the command; return the exit code.

    Only the module that is needed is imported, because a client waits for the bridge to start.
    """
    if sys.argv[1:2] == ["hook"] and sys.argv[2:3] not in ([], ["-h"], ["--help"]) and sys.platform != "win32":
        from memos_mcp.hooks.hook import main as run_hook

        return run_hook(sys.argv[2:])
    if len(sys.argv) > 1 or sys.platform == "win32":
        try:
            from memos_mcp.cli.command_line import main as run_command

            return run_command()
        except KeyboardInterrupt:  # during the imports
            return 130
    from memos_mcp.bridge.main import main as run_bridge

    return run_bridge()


if __name__ == "__main__":
    sys.exit(main())
