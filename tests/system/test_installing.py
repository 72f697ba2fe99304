"""What `make` installs, and on which Python."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.documents import DOCUMENTS
from tests.support.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PROMISED = re.findall(r":: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
# What each lock was made for, see `make lock`.
REQUIRED = {
    "requirements.txt": PROJECT["dependencies"],
    "requirements-dev.txt": [*PROJECT["dependencies"], *PYPROJECT["dependency-groups"]["dev"]],
    "requirements-bench.txt": PYPROJECT["dependency-groups"]["bench"],
}
LOCKS = tuple(REQUIRED)


def locked(lock: str) -> list[tuple[str, str]]:
    """The name and the version of each package in the file."""
    return re.findall(r"^([a-z0-9.-]+)(?:\[.+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_package_is_locked_in_one_version_for_every_python(lock: str) -> None:
    """Two versions for two Pythons would mean that one of them is never tested here."""
    packages = locked(lock)
    assert len(packages) >= len(REQUIRED[lock])
    assert len({name for name, _ in packages}) == len(packages)


def test_what_is_served_is_locked_as_it_is_tested() -> None:
    assert {*locked("requirements.txt")} <= {*locked("requirements-dev.txt")}


def test_the_benchmarks_run_with_the_versions_that_are_tested() -> None:
    """Both locks are installed into one environment."""
    versions = dict(locked("requirements-dev.txt"))
    shared = [package for package in locked("requirements-bench.txt") if package[0] in versions]
    assert shared
    assert {*shared} <= {*versions.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_the_project_asks_for(lock: str) -> None:
    """It fails when pyproject.toml was changed without `make lock`."""
    versions = dict(locked(lock))
    for line in REQUIRED[lock]:
        requirement = Requirement(line)
        assert versions[requirement.name] in requirement.specifier, line


@pytest.mark.parametrize("name", ["django-unfold", "granian", "psycopg"])
def test_a_package_whose_internals_are_used_stays_at_its_minor_version(name: str) -> None:
    """A minor release may change internals without notice, and `make lock` would take it."""
    major, minor, *_ = dict(locked("requirements.txt"))[name].split(".")
    [asked] = [
        Requirement(line) for line in PROJECT["dependencies"] if Requirement(line).name == name
    ]
    assert not asked.specifier.contains(f"{major}.{int(minor) + 1}.0")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_path(lock: str) -> None:
    """An address of a mirror, or a folder of one machine, would be asked for by everybody."""
    text = (ROOT / lock).read_text()
    assert [line for line in text.splitlines() if "/" in line] == []
    assert {*re.findall(r"--[a-z-]+", text)} == {"--hash"}


def test_only_the_benchmarks_install_what_they_compare_the_project_with(clone: Path) -> None:
    for goal, is_installed in {"test": False, "lint": False, "run": False, "bench": True}.items():
        commands = make(clone, "--dry-run", goal).stdout
        assert "pip install" in commands
        assert ("requirements-bench.txt" in commands) == is_installed, goal


def test_the_pythons_that_are_promised_are_named_in_one_way() -> None:
    oldest, newest = PROMISED[0], PROMISED[-1]
    assert [f"3.{minor}" for minor in range(int(oldest[2:]), int(newest[2:]) + 1)] == PROMISED
    assert PROJECT["requires-python"] == f">={oldest}"
    assert f"Python {oldest} to {newest}." in DOCUMENTS["README.md"]
    for name in DOCUMENTS.keys() - {"CHANGELOG.md"}:  # describes older versions, too
        ranges = re.findall(r"Python (?:from )?(3\.\d+) to (3\.\d+)", DOCUMENTS[name])
        assert {*ranges} <= {(oldest, newest)}, name


# A Python that does not do


def python_in(folder: Path, version: str) -> Path:
    """A command that says it is this Python, and notes in `venvs` the environments it makes."""
    major, minor = version.split(".")
    as_that = f"import sys; sys.version_info = ({major}, {minor}, 0); exec(sys.argv[1])"
    command = folder / f"python{version}"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f'-c) exec {sys.executable} -c "{as_that}" "$2" ;;\n'
        f"--version) echo Python {version}.0 ;;\n"
        f'-m) echo "{version}: $*" >>{folder}/venvs ;;\n'
        "esac\n"
    )
    command.chmod(0o755)
    return command


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", *LOCKS):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def make(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As typed into a shell, whatever `make` runs these tests."""
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["make", *words], cwd=clone, env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def made(clone: Path) -> str:
    venvs = clone / "venvs"
    return venvs.read_text() if venvs.exists() else ""


def test_make_run_names_the_python_it_needs_and_leaves_no_environment(clone: Path) -> None:
    result = make(clone, "run", f"PYTHON={python_in(clone, '3.10')}")
    assert result.returncode != 0
    said = f"Python {PROMISED[0]} or newer is needed, but {clone}/python3.10 is Python 3.10.0."
    assert result.stdout.startswith(said)
    assert result.stdout.count("\n") == 1
    assert made(clone) == ""
    assert not (clone / ".venv").exists()


def test_make_run_says_when_the_python_named_is_not_there(clone: Path) -> None:
    result = make(clone, "run", "PYTHON=python3.99")
    assert result.returncode != 0
    assert "but python3.99 is not there." in result.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(("version", "is_reused"), [("3.10", False), ("3.11", True)])
def test_an_environment_is_reused_only_if_its_python_is_new_enough(
    clone: Path, version: str, is_reused: bool
) -> None:
    python_in(clone / ".venv/bin", version).rename(clone / ".venv/bin/python")
    result = make(clone, ".venv/bin/python", f"PYTHON={python_in(clone, '3.12')}")
    assert result.returncode == 0, result.stderr
    assert made(clone) == ("" if is_reused else "3.12: -m venv --clear .venv\n")


def test_an_environment_whose_python_is_gone_is_made_again(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(clone / "uninstalled")
    make(clone, ".venv/bin/python", f"PYTHON={python_in(clone, '3.12')}")
    assert made(clone) == "3.12: -m venv --clear .venv\n"


@pytest.mark.parametrize(
    ("demo", "option"), [("", "--sqlite-only"), ("0", "--sqlite-only"), ("1", "")]
)
def test_make_run_asks_for_a_demo_on_postgresql_only_with_demo_1(demo: str, option: str) -> None:
    shown = make(ROOT, "--dry-run", "run", "PORT=1", f"DEMO={demo}").stdout
    assert re.search(rf"create_demo --url http://127.0.0.1:1 ?{option}$", shown, re.MULTILINE)


@pytest.mark.parametrize("port", ["abc", "65536", "-1"])
def test_make_run_refuses_what_is_no_port_in_one_sentence(port: str) -> None:
    result = make(ROOT, "run", f"PORT={port}")
    assert result.returncode != 0
    [sentence, of_make] = result.stderr.splitlines()
    assert sentence == f"A port is a number up to 65535, not “{port}”. Try: make run PORT=8001"
    assert of_make.startswith("make: ***")
