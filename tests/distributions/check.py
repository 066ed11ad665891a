"""Installs the built distributions into clean environments and runs the demo there, without a network.

    python tests/distributions/check.py dist build/dist-check

For each Python from 3.11 on that is on the PATH or among pyenv's versions: it downloads what pip would for the wheels
of both packages, installs that without an index, and runs `memos-as demo`; then it installs the source distributions
over the wheels, and runs the demo again. It prints which Pythons were used, and how much was downloaded and installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import sizes

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
NO_HUB: Final = {"HF_HUB_OFFLINE": "1"} | dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
)
"""Variables that keep a program from the network where it cannot be given one of its own; nothing listens on port 9."""


def main() -> None:
    """Check every Python that is found; exit with 1 if one fails or none is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, help="the folder with the wheels and source distributions")
    parser.add_argument("work", type=Path, help="a folder for the environments, which are removed at the end")
    parser.add_argument("--only", nargs="+", choices=VERSIONS, default=VERSIONS, metavar="VERSION")
    arguments = parser.parse_args()
    pythons = {version: interpreter(version) for version in arguments.only}
    for version, python in pythons.items():
        print(f"Python {version}: {python or 'not found'}", flush=True)
    found = {version: python for version, python in pythons.items() if python is not None}
    failed = [
        version for version, python in found.items() if not check(python, arguments.dist, arguments.work / version)
    ]
    if failed or not found:
        raise SystemExit(f"failed on Python {', '.join(failed)}" if failed else "there is no Python to check with")


def interpreter(version: str) -> Path | None:
    """Return the first interpreter of this version that can create an environment."""
    return next((python for python in candidates(version) if runs(python, version)), None)


def candidates(version: str) -> Iterator[Path]:
    """Yield where an interpreter may be: on the PATH, where pyenv's own may refuse to run, and in pyenv's folders."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        yield Path(folder) / name
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"), reverse=True)


def runs(python: Path, version: str) -> bool:
    """Whether it is there, is of this version, and has what `python -m venv` needs."""
    if not os.access(python, os.X_OK):
        return False
    program = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version


def check(python: Path, dist: Path, work: Path) -> bool:
    """Return whether the demo passes with the wheels and then with the source distributions."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        run(python, "-m", "venv", work / "env")
        installed = install_wheels(work / "env", dist, work / "downloads")
        print(installed, flush=True)
        passed = demo(work, "wheels")
        install(work / "env", "--force-reinstall", "--no-deps", *sorted(dist.glob("*.tar.gz")))
        return demo(work, "source distributions") and passed
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))}\n{error.stdout}", flush=True)
        return False
    finally:
        shutil.rmtree(work, ignore_errors=True)


def install_wheels(env: Path, dist: Path, downloads: Path) -> str:
    """Install the wheels with what they depend on; return what that is."""
    run(env / "bin/python", "-m", "pip", "download", "-q", "-d", downloads, *sorted(dist.glob("*.whl")))
    install(env, "--no-index", "--find-links", downloads, "memos-as")
    run(env / "bin/python", "-m", "pip", "check")
    return sizes.report(env, downloads)


def install(env: Path, *arguments: str | Path) -> None:
    run(env / "bin/python", "-m", "pip", "install", "-q", *arguments)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def demo(work: Path, what: str) -> bool:
    """Run the demo outside of the checkout, so that only what is installed is imported."""
    prefix = without_network()
    # Settings, and paths of the checkout, must not reach it.
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    command = [*prefix, str((work / "env/bin/memos-as").absolute()), "demo"]
    done = subprocess.run(
        command,
        cwd=work,
        env=variables | ({} if prefix else NO_HUB),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    last = done.stdout.strip().splitlines()[-1:] or ["it printed nothing"]
    print(f"  {what}, {'no network' if prefix else 'no hub'}: exit {done.returncode}, {last[0]}", flush=True)
    if done.returncode != 0:
        print(done.stdout, flush=True)
    return done.returncode == 0


def without_network() -> Sequence[str]:
    """Return what to put before a command to give it a network of its own, without an interface; or nothing."""
    own_user = [] if os.geteuid() == 0 else ["--map-current-user"]
    prefix = ["unshare", *own_user, "--net"]
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return []
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []


if __name__ == "__main__":
    main()
