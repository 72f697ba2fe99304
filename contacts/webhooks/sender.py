"""Sends the deliveries of webhooks: from the worker, outside any transaction.

Each webhook is worked on by itself, so that a slow one holds up nobody else. What is sent is
what the contact is at that moment; `sequence` tells a receiver which of two is the later.
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

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.db import DatabaseError, connection, transaction
from yarl import URL

from contacts.models import Delivery, Webhook
from tenants.isolation import tenant_context

from .addresses import Forbidden, check_address, check_host
from .payload import Message, messages

logger = logging.getLogger(__name__)

TIMEOUT = 10  # seconds for all of one try
BATCH = 100  # deliveries that are claimed at a time
AT_ONCE = 20  # requests under way to one webhook
WEBHOOKS_AT_ONCE = 50
OF_A_TENANT = 5  # of those
LOOKUPS_AT_ONCE = 64  # names that are being looked up; some take very long
PAUSE = 1.0  # seconds between two looks at what there is to do
REST = 5.0  # seconds for a webhook to which nothing could be sent, or of which nothing is known
READ = 65_536  # bytes of an answer, which nobody wants: a connection can be used again behind them


# How


class PublicOnly(ThreadedResolver):
    """Looks names up, and refuses those that lead inside: the addresses that it returns are the
    ones that are connected to, so a name cannot lead elsewhere a moment later."""

    async def resolve(self, host: str, *args: Any, **options: Any) -> list[ResolveResult]:
        found = await super().resolve(host, *args, **options)
        for result in found:
            check_address(result["host"])
        return found


def checked_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one of the addresses that `getaddrinfo` returns. Raises `Forbidden`."""
    family, kind, protocol, _, target = address
    check_address(target[0])
    return socket.socket(family, kind, protocol)


class PublicConnector(aiohttp.TCPConnector):
    """Opens connections to public addresses only, whatever the host in the URL looks like."""

    def __init__(self, **options: Any) -> None:
        super().__init__(resolver=PublicOnly(), socket_factory=checked_socket, **options)


class Answer(NamedTuple):
    status: int | None
    problem: str


async def post(session: aiohttp.ClientSession, webhook: Webhook, message: Message) -> Answer:
    """One try. An address in place of a name is not looked up, so it is checked here.

    Sends nothing by a `session` without a `PublicConnector`: a name could lead inside.
    """
    headers = {
        "Content-Type": "application/json",
        "X-Qyvo-Event": message.delivery.event,
        "X-Qyvo-Webhook-Id": webhook.pk,
        "X-Qyvo-Delivery-Id": message.delivery.pk,
        "X-Qyvo-Signature": message.signature,
    }
    try:
        url = URL(webhook.url)  # as aiohttp reads it
        check_host(url.raw_host or "")
        if not isinstance(session.connector, PublicConnector):
            raise Forbidden("The session does not keep to public addresses.")
        async with session.post(
            url, data=message.body, headers=headers, allow_redirects=False
        ) as response:
            status = response.status
            try:
                await response.content.read(READ)
            except (aiohttp.ClientError, TimeoutError):
                response.close()
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        return Answer(None, reason(error))
    return Answer(status, "" if 200 <= status < 300 else f"It answered {status}.")


def reason(error: BaseException) -> str:
    """Why there was no answer. What has refused an address is hidden behind another error."""
    if isinstance(error, aiohttp.ClientResponseError):
        return "The answer is not HTTP."  # it may repeat what was sent, which is not ours to keep
    if isinstance(error.__cause__, Forbidden):
        error = error.__cause__
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Sender:
    """Works on what is due, until there is nothing (`once`), or until it is to `stop`.

    A webhook gets its turn for a batch; then it is the turn of those that have waited longest.
    """

    def __init__(self) -> None:
        # Connections to the database belong to threads: one for the work, one to derive it.
        self.database, self.deriver = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.at_work: dict[asyncio.Task[None], Webhook] = {}
        self.next_turn: dict[str, float] = {}  # of a webhook, on the clock of the loop
        self.stop = asyncio.Event()

    async def run(self, *, once: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOKUPS_AT_ONCE))
        connector = PublicConnector(ttl_dns_cache=10, limit=0, keepalive_timeout=2)
        async with aiohttp.ClientSession(
            connector=connector,
            # Without a threshold, aiohttp rounds up what is longer than five seconds.
            timeout=aiohttp.ClientTimeout(total=TIMEOUT, ceil_threshold=TIMEOUT + 1),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Qyvo-Contacts"},
        ) as self.session:
            try:
                await (self.work_once() if once else self.work())
            finally:
                if self.at_work:  # so that nothing that has arrived is sent again
                    await asyncio.wait(self.at_work)
                for executor in (self.database, self.deriver):
                    await loop.run_in_executor(executor, lambda: connection.close())
                    executor.shutdown()

    async def work_once(self) -> None:
        await self.ask(self.deriver, derive)
        while await self.look() or self.at_work:
            await self.wait_for_work()

    async def work(self) -> None:
        """Derives and sends side by side."""
        deriving = asyncio.create_task(self.keep_deriving())
        try:
            while not self.stop.is_set() and not deriving.done():
                await self.look()
                await self.wait_for_work()
        finally:
            self.stop.set()
            await deriving  # raises what it has failed of

    async def keep_deriving(self) -> None:
        while not self.stop.is_set():
            if not await self.ask(self.deriver, derive_some):
                await self.pause()

    async def pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), PAUSE)

    async def wait_for_work(self) -> None:
        """Until a webhook has had its turn, or it is time to look again."""
        if not self.at_work:
            await self.pause()
            return
        done, _ = await asyncio.wait(
            self.at_work, timeout=PAUSE, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            del self.at_work[task]

    async def look(self) -> bool:
        """Gives webhooks with something due their turns; False where there are none."""
        due = await self.ask(self.database, lambda: list(Webhook.objects.with_something_due()))
        now = asyncio.get_running_loop().time()
        self.next_turn = {hook.pk: self.next_turn.get(hook.pk, 0) for hook in due}
        tenants = Counter(hook.tenant_id for hook in self.at_work.values())
        busy = {hook.pk for hook in self.at_work.values()}
        for webhook in sorted(due, key=lambda hook: self.next_turn[hook.pk]):
            is_free = len(self.at_work) < WEBHOOKS_AT_ONCE and webhook.pk not in busy
            is_fair = tenants[webhook.tenant_id] < OF_A_TENANT
            if is_free and is_fair and self.next_turn[webhook.pk] <= now:
                tenants[webhook.tenant_id] += 1
                self.next_turn[webhook.pk] = now
                self.at_work[asyncio.create_task(self.work_on(webhook))] = webhook
        return bool(due)

    async def work_on(self, webhook: Webhook) -> None:
        """Sends a batch; what goes wrong with one webhook is no other's trouble."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def send(message: Message) -> Answer:
            async with slots:
                return await post(self.session, webhook, message)

        is_up = False
        try:
            webhook, batch = await self.ask_of(webhook, claim)
            answers = await asyncio.gather(*map(send, batch))
            is_up = await self.ask_of(webhook, note, batch, answers)
        except Exception:
            logger.exception("Webhook %s could not be worked on", webhook.pk)
        if not is_up:
            self.next_turn[webhook.pk] = asyncio.get_running_loop().time() + REST

    async def ask(self, executor: ThreadPoolExecutor, question: Callable[[], Any]) -> Any:
        """What the database says, without holding up what is being sent."""
        return await asyncio.get_running_loop().run_in_executor(executor, question)

    async def ask_of(self, webhook: Webhook, question: Callable[..., Any], *words: Any) -> Any:
        """`ask`, where only the rows of the tenant of `webhook` are seen."""

        def asked() -> Any:
            with tenant_context(webhook.tenant_id):
                return question(webhook, *words)

        return await self.ask(self.database, asked)


def derive(*, wait: bool = False) -> None:
    """Makes deliveries of all that has happened; see `Webhook.derive`."""
    while derive_some(wait=wait):
        pass


def derive_some(*, wait: bool = False) -> bool:
    """For each webhook of some; False where nothing is left."""
    is_left = False
    for webhook in Webhook.objects.select_related("tenant").order_by("pk"):
        try:
            with tenant_context(webhook.tenant_id):
                is_left |= webhook.derive(wait=wait)
        except DatabaseError:
            if wait:
                raise
            logger.exception("Deliveries of webhook %s could not be derived", webhook.pk)
    return is_left


def claim(webhook: Webhook) -> tuple[Webhook, list[Message]]:
    """The webhook as it is now, and what is to be sent to it."""
    fresh = Webhook.objects.select_related("tenant").filter(pk=webhook.pk, paused_at=None).first()
    if fresh is None:
        return webhook, []
    return fresh, messages(fresh, fresh.mine().claim(BATCH))


@transaction.atomic
def note(webhook: Webhook, batch: list[Message], answers: list[Answer]) -> bool:
    """Notes what became of a batch; False where nothing has arrived."""
    arrived, failed = list[tuple[Delivery, Answer]](), list[tuple[Delivery, Answer]]()
    for (delivery, *_), answer in zip(batch, answers, strict=True):
        (failed if answer.problem else arrived).append((delivery, answer))
    webhook.mine().delivered(
        [answer.status or 0 for _, answer in arrived], [delivery.pk for delivery, _ in arrived]
    )
    for delivery, answer in failed:
        delivery.fail(answer.status, answer.problem)
    if arrived:
        webhook.has_answered()
    elif failed:
        webhook.has_failed()
        logger.info("Webhook %s does not take deliveries: %s", webhook.pk, failed[0][1].problem)
    return bool(arrived)


def deliver(*, once: bool) -> None:
    """Until nothing is due (`once`), or for ever: SIGTERM lets what is under way arrive."""

    async def run() -> None:
        sender = Sender()
        if not once:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, sender.stop.set)
            loop.add_signal_handler(signal.SIGINT, sender.stop.set)
        await sender.run(once=once)

    asyncio.run(run())
