"""The environments in which the peers run: one a peer, under `.benchmarks/` at the top of the checkout, made by pip."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Resolved: the programs in an environment name its path, which must outlive a link to it.
ENVIRONMENTS = (HERE.parents[1] / ".benchmarks").resolve()


class EnvironmentFailure(Exception):
    """pip could not make an environment; its text holds what pip said."""


def program(folder: str, name: str) -> str:
    """The path of a program in the environment of the peer in `benchmarks/peers/<folder>/`."""
    return str(ENVIRONMENTS / folder / "bin" / name)


def is_made(folder: str) -> bool:
    """Whether it is there with what its requirements ask for now."""
    installed = _installed(folder)
    return installed.exists() and installed.read_bytes() == _requirements(folder).read_bytes()


def make(folder: str) -> None:
    """Make it anew. All requirements are given to pip together: torch is pinned, so that no other is drawn in.

    pip compiles the modules: Ray gives up where its own processes, which import for long otherwise, start too slowly.
    """
    environment = ENVIRONMENTS / folder
    shutil.rmtree(environment, ignore_errors=True)
    ENVIRONMENTS.mkdir(exist_ok=True)
    requirements = _requirements(folder)
    _run(sys.executable, "-m", "venv", str(environment))
    _run(program(folder, "python"), "-m", "pip", "install", "--quiet", "--requirement", str(requirements))
    shutil.copyfile(requirements, _installed(folder))


def requirements(folder: str) -> dict[str, str]:
    """What is asked for: versions by package."""
    pins = (line.split("==") for line in _requirements(folder).read_text().splitlines())
    return {name.partition("[")[0]: version for name, version in pins}


def _requirements(folder: str) -> Path:
    return HERE / folder / "requirements.txt"


def _installed(folder: str) -> Path:
    return ENVIRONMENTS / folder / "requirements.txt"


def _run(*command: str) -> None:
    # Gradwire's own constraints hold other versions of what the peers share with it.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_CONSTRAINT")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentFailure(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
