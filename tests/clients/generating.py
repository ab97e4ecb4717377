"""Clients, generated from a document by the generators that callers use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.needs import needs

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Generator:
    """A generator, and how its language declares an operation and its answer, and a model."""

    language: str
    operations: str
    """The files that hold operations."""
    operation: str
    """An operation in them: its `name`, and its `answer` where it has one."""
    models: str
    """The files that hold a model each."""
    options: tuple[str, ...] = ()

    def generate(self, document: Path, folder: Path) -> str:
        """Make the client in that folder; what the generator printed. Raises if it fails."""
        if self.language == "python":
            # Without a project around the package.
            command = ["openapi-python-client", "generate", "--meta", "none"]
            command += ["--path", str(document), "--output-path", str(folder)]
        else:
            needs("java")
            command = ["openapi-generator-cli", "generate", "-g", self.language, *self.options]
            command += ["-i", str(document), "-o", str(folder)]
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
            # The first looks for ruff on the path, to format with; the second's short run compiles less.
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "JAVA_OPTS": "-XX:TieredStopAtLevel=1"},
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


GENERATORS = (
    Generator(
        "python",
        "api/*/*.py",
        r"\A(?P<name>)[^\0]*^def sync_detailed\([^)]*\) -> Response\[(?:Problem \| )?(?P<answer>\w+)",
        "models/*.py",
    ),
    Generator(
        "typescript-fetch",
        "apis/*.ts",
        r"^    async (?P<name>\w+)\(.*\): Promise<(?P<answer>\w+)>",
        "models/*.ts",
    ),
    Generator(
        "java",
        "src/main/java/org/openapitools/client/api/*.java",
        r"^  public (?P<answer>\w+) (?P<name>\w+)\(",
        "src/main/java/org/openapitools/client/model/*.java",
        # Of its HTTP libraries the one that is Java's own.
        options=("--library", "native"),
    ),
    Generator(
        "go",
        "api_*.go",
        r"^func \(a \*\w+\) (?P<name>\w+)Execute\(.*?\) \((?:\*(?P<answer>\w+), )?",
        "model_*.go",
    ),
    Generator(
        "rust",
        "src/apis/*_api.rs",
        r"^pub async fn (?P<name>\w+)\(.*\) -> Result<(?:models::)?(?P<answer>\w+|\(\)),",
        "src/models/*.rs",
    ),
    Generator(
        "csharp",
        "src/*/Api/*Api.cs",
        r"^    public interface I(?P<name>\w+)ApiResponse : [\w.]+(?:, IOk<[\w.]+\.(?P<answer>\w+)\?>)?",
        "src/*/Model/*.cs",
    ),
)


@dataclass(frozen=True)
class Client:
    """A generated client."""

    generator: Generator
    folder: Path
    printed: str

    def operations(self) -> dict[str, str]:
        """Its operations, and the type that each answers with."""
        found = {}
        for path in self.folder.glob(self.generator.operations):
            for match in re.finditer(self.generator.operation, path.read_text(), re.MULTILINE):
                # In Python an operation is a module.
                found[plain(match["name"] or path.stem)] = plain(match["answer"] or "")
        return found

    def models(self) -> set[str]:
        """Its models."""
        prefix = "model_" if self.generator.language == "go" else ""
        return {plain(path.stem.removeprefix(prefix)) for path in self.folder.glob(self.generator.models)}


def plain(name: str) -> str:
    """A name without what each language spells in its own way."""
    return name.replace("_", "").lower()
