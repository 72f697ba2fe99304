"""Sends due deliveries: in a process of its own, and outside of any transaction.

Each webhook is worked on by itself, so that a slow receiver holds up no other one. A delivery
carries the contact as it is when it is sent; `sequence` tells a receiver which of two is later.
"""

import asyncio
import logging
import signal
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.db import connection
from yarl import URL

from contacts.models import Webhook
from tenants.isolation import tenant_context

from . import outbox
from .addresses import Forbidden, check_address, check_host, is_plain
from .outbox import (
    ANSWERED,
    HUNG_UP,
    NO_HOST,
    NO_TLS,
    NOT_ALLOWED,
    NOT_HTTP,
    TIMED_OUT,
    UNREACHABLE,
    Attempt,
)
from .payload import Message, messages

logger = logging.getLogger(__name__)

TIMEOUT = 10  # seconds for the whole of an attempt
BATCH = 100  # deliveries that are claimed at a time
REQUESTS_AT_ONCE = 20  # to one webhook
WEBHOOKS_AT_ONCE = 50
WEBHOOKS_OF_TENANT_AT_ONCE = 5  # so that no tenant takes all of them
LOOKUPS_AT_ONCE = 64  # names that are being looked up; some lookups take very long
POLL_INTERVAL = 1.0  # seconds between two queries for work
REST = 5.0  # seconds until a webhook is tried again after a batch of which nothing arrived
# Bytes of an answer that are read and thrown away. An answer that is read to its end leaves the
# connection free for the next request.
MAX_ANSWER = 65_536


# One request


class CheckedResolver(ThreadedResolver):
    """Resolves names, and refuses a name that has a forbidden address.

    aiohttp connects to the addresses that are checked here and does not look the name up again, so
    the name cannot lead to a private address a moment later (DNS rebinding).
    """

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self.plain = plain

    async def resolve(self, host: str, *args: Any, **options: Any) -> list[ResolveResult]:
        found = await super().resolve(host, *args, **options)
        for result in found:
            check_address(result["host"], plain=self.plain)
        return found


class PublicConnector(aiohttp.TCPConnector):
    """Connects to public and allowed addresses only, however the host is written in the URL."""

    plain = False

    def __init__(self, **options: Any) -> None:
        resolver = CheckedResolver(plain=self.plain)
        super().__init__(resolver=resolver, socket_factory=self.checked_socket, **options)

    def checked_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for an address as `getaddrinfo` returns it. Raises `Forbidden`."""
        family, kind, protocol, _, target = address
        check_address(target[0], plain=self.plain)
        return socket.socket(family, kind, protocol)


class PlainConnector(PublicConnector):
    """For http: connects to addresses in the allowed networks only."""

    plain = True


def connector_for(webhook: Webhook) -> type[PublicConnector]:
    return PlainConnector if is_plain(urlsplit(webhook.url).scheme) else PublicConnector


class Answer(NamedTuple):
    """`status`: None if no answer came. `problem`: empty if the delivery has arrived."""

    status: int | None
    problem: str


async def post(session: aiohttp.ClientSession, webhook: Webhook, message: Message) -> Answer:
    """One attempt.

    The host is checked here too, because aiohttp does not resolve a host that is an IP address.
    Sends nothing with a `session` that has another connector than `connector_for` says: a name
    could lead to a private address.
    """
    headers = {
        "Content-Type": "application/json",
        "X-Qyvo-Event": message.delivery.event,
        "X-Qyvo-Webhook-Id": webhook.pk,
        "X-Qyvo-Delivery-Id": message.delivery.pk,
        **message.signatures,
    }
    try:
        url = URL(webhook.url)  # aiohttp reads the URL with yarl, too
        check_host(url.raw_host or "", plain=connector_for(webhook).plain)
        if not isinstance(session.connector, connector_for(webhook)):
            raise Forbidden("The session could reach an address that is not a public address.")
        async with session.post(
            url, data=message.body, headers=headers, allow_redirects=False
        ) as response:
            status = response.status
            try:
                await response.content.read(MAX_ANSWER)
            except (aiohttp.ClientError, TimeoutError):
                response.close()
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        return Answer(None, reason(error))
    return Answer(status, "" if 200 <= status < 300 else ANSWERED % {"status": status})


# The first that fits counts: some of these errors derive from later ones.
REASONS: list[tuple[type[BaseException], str]] = [
    (Forbidden, NOT_ALLOWED),
    (TimeoutError, TIMED_OUT),
    (aiohttp.ClientSSLError, NO_TLS),
    (aiohttp.ClientConnectorDNSError, NO_HOST),
    (aiohttp.ClientConnectorError, UNREACHABLE),
    (aiohttp.ServerDisconnectedError, HUNG_UP),
    (aiohttp.ClientOSError, HUNG_UP),
]


def reason(error: BaseException) -> str:
    """Why no answer came, for the staff."""
    if isinstance(error, aiohttp.ClientResponseError):
        # Its text may repeat the body that was sent, with data of people who are erased later.
        return NOT_HTTP
    if isinstance(error.__cause__, Forbidden):  # aiohttp raises its own error instead
        error = error.__cause__
    detail = f"{type(error).__name__}: {error}".removesuffix(": ")
    sentence = next((text for kind, text in REASONS if isinstance(error, kind)), None)
    return f"{sentence} ({detail})" if sentence else detail


# All requests


def new_session(connector: type[PublicConnector]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector(ttl_dns_cache=10, limit=0, keepalive_timeout=2),
        # Without a threshold, aiohttp rounds timeouts of more than five seconds up.
        timeout=aiohttp.ClientTimeout(total=TIMEOUT, ceil_threshold=TIMEOUT + 1),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": "Qyvo-Contacts"},
    )


class Sender:
    """Sends due deliveries until none is left (`run(once=True)`) or `stop` is set.

    A turn of a webhook is one batch; then the webhooks that have waited longest get their turns.
    """

    def __init__(self) -> None:
        # Django's connections belong to threads, so each thread keeps one: `database` for sending,
        # `enqueuer` for reading the change log, which may take longer.
        self.database, self.enqueuer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.at_work: dict[asyncio.Task[None], Webhook] = {}
        self.next_turn: dict[str, float] = {}  # by webhook, in the time of the event loop
        self.stop = asyncio.Event()

    async def run(self, *, once: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOKUPS_AT_ONCE))
        async with new_session(PublicConnector) as public, new_session(PlainConnector) as plain:
            self.sessions = {PublicConnector: public, PlainConnector: plain}
            try:
                await (self.work_once() if once else self.work())
            finally:
                if self.at_work:  # else deliveries that have arrived would be sent again
                    await asyncio.wait(self.at_work)
                for executor in (self.database, self.enqueuer):
                    await loop.run_in_executor(executor, lambda: connection.close())
                    executor.shutdown()

    async def work_once(self) -> None:
        await self.ask(self.enqueuer, outbox.enqueue_deliveries)
        while await self.give_turns() or self.at_work:
            await self.wait_for_work()

    async def work(self) -> None:
        """Enqueues and sends side by side."""
        enqueueing = asyncio.create_task(self.keep_enqueueing())
        try:
            while not self.stop.is_set() and not enqueueing.done():
                await self.give_turns()
                await self.wait_for_work()
        finally:
            self.stop.set()
            await enqueueing  # raises the error if it has failed

    async def keep_enqueueing(self) -> None:
        while not self.stop.is_set():
            if not await self.ask(self.enqueuer, outbox.enqueue_some):
                await self.pause()

    async def pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), POLL_INTERVAL)

    async def wait_for_work(self) -> None:
        """Returns when a webhook has had its turn, or after `POLL_INTERVAL`."""
        if not self.at_work:
            await self.pause()
            return
        done, _ = await asyncio.wait(
            self.at_work, timeout=POLL_INTERVAL, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            del self.at_work[task]

    async def give_turns(self) -> bool:
        """Starts the turns of webhooks with due deliveries; returns whether there are any."""
        due = await self.ask(self.database, lambda: list(Webhook.objects.with_due_deliveries()))
        now = asyncio.get_running_loop().time()
        self.next_turn = {hook.pk: self.next_turn.get(hook.pk, 0) for hook in due}
        tenants = Counter(hook.tenant_id for hook in self.at_work.values())
        busy = {hook.pk for hook in self.at_work.values()}
        for webhook in sorted(due, key=lambda hook: self.next_turn[hook.pk]):
            is_free = len(self.at_work) < WEBHOOKS_AT_ONCE and webhook.pk not in busy
            is_fair = tenants[webhook.tenant_id] < WEBHOOKS_OF_TENANT_AT_ONCE
            if is_free and is_fair and self.next_turn[webhook.pk] <= now:
                tenants[webhook.tenant_id] += 1
                self.next_turn[webhook.pk] = now
                self.at_work[asyncio.create_task(self.work_on(webhook))] = webhook
        return bool(due)

    async def work_on(self, webhook: Webhook) -> None:
        """Sends a batch. An error is logged here, so that it stops no other webhook."""
        slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

        async def send(message: Message) -> Attempt:
            async with slots:
                session = self.sessions[connector_for(webhook)]
                return Attempt(message.delivery, *await post(session, webhook, message))

        is_up = False
        try:
            webhook, batch = await self.ask_of(webhook, claim)
            attempts = await asyncio.gather(*map(send, batch))
            is_up = await self.ask_of(webhook, outbox.record, attempts)
        except Exception:
            logger.exception("Webhook %s could not be worked on", webhook.pk)
        if not is_up:
            self.next_turn[webhook.pk] = asyncio.get_running_loop().time() + REST

    async def ask(self, executor: ThreadPoolExecutor, question: Callable[[], Any]) -> Any:
        """Calls `question` in a thread: the requests under way go on while the database works."""
        return await asyncio.get_running_loop().run_in_executor(executor, question)

    async def ask_of(self, webhook: Webhook, question: Callable[..., Any], *words: Any) -> Any:
        """Calls `question(webhook, *words)` in a thread that sees only rows of its tenant."""

        def asked() -> Any:
            with tenant_context(webhook.tenant_id):
                return question(webhook, *words)

        return await self.ask(self.database, asked)


def claim(webhook: Webhook) -> tuple[Webhook, list[Message]]:
    """The webhook as it is stored now, and a batch of requests that nobody else sends.

    Reads the webhook again: its secret may have been rotated, or the webhook paused or deleted.
    """
    stored = Webhook.objects.select_related("tenant").filter(pk=webhook.pk, paused_at=None).first()
    if stored is None:
        return webhook, []
    return stored, messages(stored, outbox.claim(stored, BATCH))


def deliver(*, once: bool) -> None:
    """Sends until nothing is due (`once`), or until SIGTERM or SIGINT; then the requests under way
    come to their end first."""

    async def run() -> None:
        sender = Sender()
        if not once:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, sender.stop.set)
            loop.add_signal_handler(signal.SIGINT, sender.stop.set)
        await sender.run(once=once)

    asyncio.run(run())
