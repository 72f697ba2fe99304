"""The version of this folder and the last release, which an upgrade has run beside each other."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT


class Version(NamedTuple):
    """`folder`: of its code. `python`: with its packages."""

    folder: Path
    python: Path


CURRENT = Version(ROOT, Path(sys.executable))


@cache
def environment(name: str, requirements: Path) -> Path:
    """The folder of programs that the lock `requirements` installs, kept in the cache of pytest."""
    folder = ROOT / ".pytest_cache" / "d" / name
    done = folder / "requirements.txt"
    if not done.exists() or done.read_text() != requirements.read_text():
        uv = Path(sys.executable).with_name("uv")
        commands: list[list[str | Path]] = [
            ["venv", "--quiet", "--clear", "--python", sys.executable, folder],
            ["pip", "install", "--quiet", "--python", folder, "--require-hashes",
             "--requirement", requirements],
        ]  # fmt: skip
        for command in commands:
            subprocess.run([uv, *command], check=True)
        shutil.copy(requirements, done)
    return folder / "bin"


def last_release(folder: Path) -> Version | None:
    """The commit before this one that last changed the version in pyproject.toml, written into
    `folder`. None where git does not know the history, as in a shallow clone."""
    if git("rev-parse", "--is-shallow-repository") != b"false\n":
        return None
    found = git("log", "-1", "--format=%H", "-G^version = ", "HEAD^", "--", "pyproject.toml")
    archive = git("archive", os.fsdecode(found.strip()))
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    return Version(folder, environment("last_release", folder / "requirements.txt") / "python")


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, check=False).stdout
