"""A Debian machine for a test: the packages of this machine in namespaces of Linux, with a systemd
of its own. What happens there is kept in memory, and is gone at the end."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

SYSTEMD = Path("/lib/systemd/systemd")
NAMESPACES = ("mount", "uts", "ipc", "net", "pid", "cgroup")
PATIENCE = 60  # seconds for a machine that is busy with other things

# Reads all files of this machine, and writes into memory. The control group is removed at the end.
OUTSIDE = """
mount --make-rprivate /
mount -t tmpfs none "$1"
cd "$1"
mkdir changes work root groups
mount -t overlay overlay -o lowerdir=/,upperdir=changes,workdir=work root
mkdir root/opt/shared
mount --bind "$3" root/opt/shared
mount -t cgroup2 none groups
group=groups/qyvo-$$
mkdir $group
trap 'find $group -depth -type d -exec rmdir {} +' EXIT
(
    echo $BASHPID >$group/cgroup.procs
    exec unshare --cgroup --ipc --mount --net --pid --uts --fork --kill-child bash -euc "$2"
)
"""
INSIDE = """
ip link set lo up
cd root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o mode=755 none dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mkdir -p .outside
pivot_root . .outside
umount --lazy /.outside
exec env --ignore-environment container=test PATH="$PATH" SYSTEMD --unit=basic.target
""".replace("SYSTEMD", str(SYSTEMD))


BOOTED = """
until [ -S /run/systemd/private ]; do sleep 0.05; done
systemctl is-system-running --wait || true
"""


class Machine:
    """`pid`: of its systemd, as this machine numbers processes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def command(self, *words: str, namespaces: Sequence[str] = NAMESPACES) -> list[str]:
        enter = ["nsenter", f"--target={self.pid}", *(f"--{name}" for name in namespaces)]
        environment = ["HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"]
        return [*enter, "env", "--ignore-environment", *environment, *words]

    def run(self, script: str, stdin: bytes = b"", *, is_online: bool = False) -> str:
        """What the commands print in a shell of root. Each of them has to succeed. The machine has
        a network of its own, or, if `is_online`, the one of this machine."""
        namespaces = [name for name in NAMESPACES if name != "net" or not is_online]
        words = ["bash", "-euo", "pipefail", "-c", script]
        command = self.command(*words, namespaces=namespaces)
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        printed, said = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == 0, f"{script}\n{printed[-2000:]}\n{said[-3000:]}"
        return printed

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        self.run(f"cat >{path}; chmod {mode:o} {path}", text.encode())


def why_not() -> str:
    """Why there can be no such machine here; empty if there can be."""
    if os.getuid():
        return "needs root"
    if not SYSTEMD.exists():
        return "needs systemd"
    probe = ["unshare", "--mount", "--net", "--pid", "--cgroup", "--fork", "true"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        return "needs a machine that allows namespaces"
    return ""


@contextmanager
def machine(shared: Path) -> Iterator[Machine]:
    """Has the folder `shared` at /opt/shared. The test is skipped where there can be none."""
    if reason := why_not():
        pytest.skip(f"SKIPPED: nobody has set up a Debian machine: that {reason}")
    with tempfile.TemporaryDirectory(prefix="qyvo-machine-") as name:
        log = Path(name) / "log"
        command: list[str | Path] = ["unshare", "--mount", "bash", "-euc", OUTSIDE, "machine"]
        with log.open("wb") as output:
            outside = subprocess.Popen(
                [*command, name, INSIDE, shared], stdout=output, stderr=output
            )
        pid = pid_of_systemd(outside, log)
        try:
            machine = Machine(pid)
            machine.run(BOOTED)
            yield machine
        finally:
            os.kill(pid, signal.SIGKILL)  # Linux then ends all others in its namespace
            outside.wait(timeout=PATIENCE)


def pid_of_systemd(outside: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + PATIENCE
    while outside.poll() is None and time.monotonic() < end:
        for process in psutil.Process(outside.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name() == SYSTEMD.name:
                    return process.pid
        time.sleep(0.05)
    outside.kill()
    raise AssertionError(log.read_text())
