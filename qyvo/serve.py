"""The server program: `python -m qyvo.serve [OPTION …]`.

It runs granian with settings for this service. The options are those of granian (`--help`). An
option wins over its `GRANIAN_…` variable, and the variable wins over the defaults below.
"""

import ctypes
import errno
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, NoReturn

import granian.cli
from granian import _signals
from granian.net import SocketHolder
from granian.server import mp

holder: Any = SocketHolder  # granian's type hints for it describe Windows only

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")

# Connections per process. An idle connection takes a file descriptor and about 14 KiB.
MAX_CONNECTIONS = 16_384
OTHER_DESCRIPTORS = 256  # per process: files, connections to the database and to Redis
MAX_HEADER_BYTES = 32 * 1024  # per request; 4,096 waiting requests take at most 300 MiB
M_ARENA_MAX, ARENAS = -8, 2  # mallopt(3)
DOORS = 4  # threads for health checks, and for requests that begin to wait: see `overload`
STOP_SECONDS = 30  # for running requests to finish when the server stops

# TCP: closes the connection of a client that does not read its response or no longer exists.
SEND_SECONDS = 30
KEEPALIVE_SECONDS, KEEPALIVE_PROBES = 10, 3

# A process that dies is replaced at once. If processes die repeatedly, the pause before the next
# replacement doubles each time.
LONGEST_PAUSE = 30  # seconds
QUIET_SECONDS = 60  # without a death; then the pauses begin at zero again


def allow_descriptors() -> int:
    """Raises the soft limit of open files of this process, as far as needed and allowed. Returns
    the number of connections that this limit permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MAX_CONNECTIONS + OTHER_DESCRIPTORS
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    # Some descriptors always stay free: without a free descriptor, accepting a connection fails at
    # once, and granian would retry without a pause.
    return max(64, allowed - OTHER_DESCRIPTORS)


def listen(host: str, port: int, backlog: int = 1024, processes: int = 1) -> list[socket.socket]:
    """Opens listening sockets: one per process, among which Linux distributes the connections.
    (With a single socket for all processes, one process would take most connections.)

    The first socket is opened without SO_REUSEPORT, which fails if another server uses the port.
    granian opens all sockets with SO_REUSEPORT: a second server would silently take half of the
    connections. Ends the program with a message if it cannot listen.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        first = socket.create_server(
            (host, port), family=family, backlog=backlog, dualstack_ipv6=host == "::"
        )
    except OSError as error:
        sys.exit(cannot_listen(host, port, error))
    listeners = [first]
    if sys.platform == "linux":
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listeners += [
            socket.create_server(
                first.getsockname(), family=family, backlog=backlog, reuse_port=True,
                dualstack_ipv6=host == "::",
            )
            for _ in range(processes - 1)
        ]  # fmt: skip
    for listener in listeners:
        set_timeouts(listener)
    return listeners


def set_timeouts(listener: socket.socket) -> None:
    """Sets options that all connections of `listener` inherit (tcp(7))."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": KEEPALIVE_SECONDS,
        "TCP_KEEPINTVL": KEEPALIVE_SECONDS,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": SEND_SECONDS * 1000,
    }
    for name, value in options.items():
        if number := getattr(socket, name, None):  # macOS does not have all of them
            listener.setsockopt(socket.IPPROTO_TCP, number, value)


def port_number(text: str) -> int:
    """The port of `make run PORT=text`. Ends the program with a message if `text` is no port."""
    if not text.isdecimal() or int(text) > 65535:
        sys.exit(f"A port is a number up to 65535, not “{text}”. Try: make run PORT=8001")
    return int(text)


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """The message for people if the server cannot listen."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Use another port: make run PORT={port + 1}"
    return f"Cannot listen at {host}, port {port}: {error.strerror or error}"


class Flag:
    """`threading.Event` without a lock. With a lock, a signal that arrives while another signal is
    being handled would wait for ever."""

    def __init__(self) -> None:
        self.is_up = False

    def set(self) -> None:
        self.is_up = True

    def clear(self) -> None:
        self.is_up = False

    def wait(self) -> None:
        while not self.is_up:
            time.sleep(0.1)


class Server(mp.MPServer):
    """granian's server, with sockets that no second server can share. It never gives up replacing
    processes that die."""

    listeners: list[socket.socket]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.main_loop_interrupt = Flag()  # type: ignore[assignment]
        self.on_startup(load_application)
        self.deaths = 0  # in quick succession
        self.last_death = 0.0

    def serve(self, *args: Any, **options: Any) -> None:
        try:
            super().serve(spawn_target=serve_requests)
        finally:
            # Python forgets handlers before the program has ended: one more signal would end it
            # with a status that tells of a failure.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)

    def _init_shared_socket(self) -> None:
        self.listeners = []
        if self.bind_uds:
            super()._init_shared_socket()
        else:
            self._ssp = None
            self.listeners = listen(self.bind_addr, self.bind_port, self.backlog, self.workers)

    def _drop_shared_socket(self) -> None:
        for listener in self.listeners:
            listener.close()

    def _spawn_worker(self, idx: int, *args: Any, **options: Any) -> Any:
        if self.listeners:
            self._sso = self.listener_of(idx)
            self._shd = holder(self._sso.fileno(), False, self.backlog)
        worker = super()._spawn_worker(idx, *args, **options)
        worker.join = partial(join, worker)  # type: ignore[method-assign]
        return worker

    def listener_of(self, idx: int) -> socket.socket:
        return self.listeners[idx % len(self.listeners)]

    def _respawn_workers(self, workers: list[int], *args: Any, **options: Any) -> None:
        """Replaces dead processes after a pause. granian itself would stop the whole server if a
        process died twice within seconds."""
        dead = [worker for worker in self.wrks if not worker.is_alive()]
        if any(worker.inner.exitcode == os.EX_CONFIG for worker in dead):
            self.shutdown(os.EX_CONFIG)
        if dead:
            self.leave_connections_to_others([worker.idx for worker in dead])
            self.pause()
        if not self.interrupt_signal:
            workers = sorted({*workers, *(worker.idx for worker in dead)})
            super()._respawn_workers(workers, *args, **options)
        self.respawned_wrks.clear()  # granian would count these deaths and stop

    def leave_connections_to_others(self, dead: list[int]) -> None:
        """Stops listening on the sockets of the dead processes, so that new connections go to the
        others. Their replacements listen again. If no process is left, or all share one socket,
        new connections wait."""
        if len(dead) < self.workers <= len(self.listeners):
            for idx in dead:
                self.listener_of(idx).shutdown(socket.SHUT_RDWR)

    def pause(self) -> None:
        """Waits before the next replacement: not after the first death, then 1, 3, 7, … seconds."""
        now = time.monotonic()
        self.deaths = 0 if now - self.last_death > QUIET_SECONDS else self.deaths + 1
        end = now + min(LONGEST_PAUSE, 2**self.deaths - 1)
        while time.monotonic() < end and not self.interrupt_signal:
            time.sleep(0.1)
        self.last_death = time.monotonic()

    def shutdown(self, exit_code: int = 0) -> None:
        if self.interrupt_signal:  # service managers have sent it to all processes already
            self.interrupt_children.clear()
        super().shutdown(exit_code)


def load_application() -> None:
    """Loads the application before the server processes are forked. They share the memory of what
    is loaded: two of them take 60 MiB each after much load, instead of 102. And a process that
    replaces a dead one need not load it again."""
    if multiprocessing.get_start_method() == "fork":  # as on Linux before Python 3.14
        from . import wsgi  # noqa: F401, I001 - overload needs what this one sets up
        from . import overload  # noqa: F401


def join(worker: Any, timeout: float | None = None) -> None:
    """Waits for a process to end, and until its exit code is known. The thread that watches the
    process may be about to store the code: then granian, when it stops, would take the process for
    alive, log that it “refused to gracefully stop”, and kill whatever has its number now."""
    worker.inner.join(timeout)
    while wait([worker.inner.sentinel], timeout=0) and worker.inner.exitcode is None:
        time.sleep(0.001)


def share_free_memory() -> None:
    """Lets all threads of this process take memory from the same two places. With glibc's default,
    eight for each processor, each keeps what is free there: with SQLite, 25 MiB more."""
    with suppress(AttributeError, OSError):  # other C libraries have no mallopt
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def interrupt_nobody() -> None:
    """Has the threads of this process wait for a free processor when they wake up (SCHED_BATCH of
    sched(7)). A thread that sends an answer wakes another thread. By default, this one interrupts
    the first one, which holds Python's lock, so that all threads of the process wait: the server
    answered a tenth fewer requests."""
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def serve_requests(*args: Any) -> None:
    """The main function of each server process.

    Blocks SIGINT: Ctrl-C reaches all processes, but the main process stops the others with SIGTERM,
    and a second signal may make granian hang. Until granian handles SIGTERM, it ends the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    share_free_memory()
    interrupt_nobody()
    Thread(target=end_with_parent, daemon=True).start()
    mp._wsgi_call_wrap = answer_without_waiting  # type: ignore[assignment]
    _signals.set_main_signals = stop_once  # type: ignore[assignment]
    mp.MPServer._spawn_wsgi_worker(*args)


def stop_once(handler: Callable[[int, Any], None]) -> None:
    """Stops this process at the first SIGTERM and ignores further ones: granian's handler takes a
    lock, and a second signal that arrives while the lock is held would wait for ever."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        handler(number, frame)

    signal.signal(signal.SIGTERM, stop)


def end_with_parent() -> NoReturn:
    """Ends this process after the main process was killed. Otherwise this process would keep the
    port, and no new server could start."""
    parent: Any = multiprocessing.parent_process()
    while os.getppid() == parent.pid:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


# How granian calls the application

call_wrapper = mp._wsgi_call_wrap


def answer_without_waiting(application: Any, *options: Any) -> Callable[[Any, Any], Any]:
    """Replaces granian's function that calls the application: streams are sent as `Answer` says,
    and requests wait as `overload` says."""
    from .overload import limited  # needs the settings, as the application does

    handle = call_wrapper(application, *options)
    return limited(lambda protocol, scope: handle(Answer(protocol), scope))


class Answer:
    """Sends each streamed response from a thread of its own. Sending waits until the client reads:
    a few slow clients would otherwise occupy all threads of a process."""

    __slots__ = ("protocol",)

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def response_bytes(self, *args: Any) -> None:
        self.protocol.response_bytes(*args)

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        response = body.inner
        if response.streaming:
            send = copy_context().run
            Thread(target=send, args=(self.stream, status, headers, body), daemon=True).start()
            return
        try:  # in one piece: granian sends bytes faster than an iterator
            self.protocol.response_bytes(status, headers, response.content)
        finally:
            response.close()

    def stream(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        from django.db import connections

        def next_piece() -> bytes:
            piece: bytes = make_piece()
            # A slow client must not keep one of PostgreSQL's 100 connections.
            connections.close_all()
            return piece

        make_piece, body.__next__ = body.__next__, next_piece
        try:
            self.protocol.response_iter(status, headers, body)
        finally:
            connections.close_all()  # the connections of this thread


def defaults() -> dict[str, Any]:
    """Default values for granian's options, by their names on its command line."""
    from django.conf import settings

    from .checks import processes, threads

    options = {
        "interface": "wsgi",
        "http": "1",
        "websockets": False,
        "workers": processes(),
        "blocking_threads": threads() + DOORS,
        "backpressure": allow_descriptors(),
        "http1_buffer_size": MAX_HEADER_BYTES,
        "workers_kill_timeout": STOP_SECONDS,
        "respawn_failed_workers": True,
    }
    if settings.LOG_FORMAT == "json":
        options["log_config"] = str(settings.BASE_DIR / "qyvo" / "granian.json")
    return options


def main() -> None:
    from django.core.exceptions import ImproperlyConfigured

    try:
        default_map = defaults()
    except ImproperlyConfigured as error:
        sys.exit(f"Wrong settings: {error}")
    granian.cli.Server = Server  # the class that the command line uses
    granian.cli.cli(
        ["qyvo.wsgi:application", *sys.argv[1:]],
        prog_name="python -m qyvo.serve",
        auto_envvar_prefix="GRANIAN",
        default_map=default_map,
    )


if __name__ == "__main__":
    main()
