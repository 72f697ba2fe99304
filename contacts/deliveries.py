"""Sends the deliveries of webhooks: from the worker, outside any transaction.

Each webhook is worked on by itself, so that a slow one holds up nobody else. What is sent is
what the contact is at that moment; `sequence` tells a receiver which of two is the later.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.db import connection
from django.utils import timezone

from .changes import ENDS, Change
from .models import Contact, Import
from .serializers import ContactDetail, ImportJob, Timestamp
from .webhooks import Delivery, Forbidden, Webhook, check_address, check_host

logger = logging.getLogger(__name__)

TIMEOUT = 10  # seconds for all of one try
BATCH = 100  # deliveries that are claimed at a time
AT_ONCE = 20  # requests under way to one webhook
WEBHOOKS_AT_ONCE = 50
PAUSE = 1.0  # seconds between two looks at what there is to do
READ = 65_536  # bytes of an answer, which nobody wants: a connection can be used again behind them


# What is sent


class Message(NamedTuple):
    delivery: Delivery
    body: bytes
    signature: str


def messages(webhook: Webhook, deliveries: list[Delivery]) -> list[Message]:
    """What is to be sent of `deliveries`, in a constant number of statements."""
    jobs = Import.objects.with_counts().in_bulk([d.job_id for d in deliveries if d.job_id])
    changes = Change.objects.in_bulk([d.change_id for d in deliveries if d.change_id])
    contacts = shown_contacts(webhook, changes.values())
    now, made = timezone.now(), []
    for delivery in deliveries:
        change = changes.get(delivery.change_id)
        job = jobs.get(delivery.job_id)
        content = told_import(job) if job else told_change(change, contacts) if change else {}
        at = change.at if change else delivery.created_at
        body = {
            "event": delivery.event,
            "id": delivery.pk,
            "sequence": change.pk if change else None,
            "timestamp": Timestamp().to_representation(at),
            "tenant_id": webhook.tenant_id,
        } | content
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        made.append(Message(delivery, raw, webhook.signature(raw, now)))
    return made


def told_import(job: Import) -> dict[str, Any]:
    return {"import": ImportJob(job).data}


def told_change(change: Change, contacts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    changed = sorted(change.fields.keys() - {"consent"}) if change.kind in CHANGING else []
    return {"changed": changed, "contact": contacts[change.contact_id]}


CHANGING = [Change.Kind.UPDATED, Change.Kind.OPTED_IN, Change.Kind.OPTED_OUT]


def shown_contacts(webhook: Webhook, changes: Iterable[Change]) -> dict[str, dict[str, Any]]:
    """The contacts of `changes` by id, as get-contact shows them; those that are gone as they
    were at the end, with `merged_into`; of people who were erased the id alone."""
    pks = {change.contact_id for change in changes}
    shown = {
        pk: dict(ContactDetail(contact).data)
        for pk, contact in webhook.tenant.contacts.in_bulk([*pks]).items()
    }
    ends = webhook.tenant.changes.filter(contact_id__in=pks - shown.keys(), kind__in=ENDS)
    gone = {end.contact_id: end for end in ends.order_by("id")}  # the last one of each counts
    for pk in pks - shown.keys():
        shown[pk] = told_end(gone[pk]) if pk in gone else {"id": pk}
    return shown


def told_end(end: Change) -> dict[str, Any]:
    into = {"merged_into": end.into} if end.into else {}
    if not end.fields:
        return {"id": end.contact_id} | into
    return dict(ContactDetail(Contact.ended(end)).data) | into


# How


class PublicOnly(ThreadedResolver):
    """Looks names up, and refuses those that lead inside: the addresses that it returns are the
    ones that are connected to, so a name cannot lead elsewhere a moment later."""

    async def resolve(self, host: str, *args: Any, **options: Any) -> list[ResolveResult]:
        found = await super().resolve(host, *args, **options)
        for result in found:
            check_address(result["host"])
        return found


class Answer(NamedTuple):
    status: int | None
    problem: str


async def post(session: aiohttp.ClientSession, webhook: Webhook, message: Message) -> Answer:
    """One try. An address in place of a name is not looked up, so it is checked here."""
    headers = {
        "Content-Type": "application/json",
        "X-Qyvo-Event": message.delivery.event,
        "X-Qyvo-Webhook-Id": webhook.pk,
        "X-Qyvo-Delivery-Id": message.delivery.pk,
        "X-Qyvo-Signature": message.signature,
    }
    try:
        check_host(urlsplit(webhook.url).hostname or "")
        async with session.post(
            webhook.url, data=message.body, headers=headers, allow_redirects=False
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
    if isinstance(error.__cause__, Forbidden):
        error = error.__cause__
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Sender:
    """Works on what is due, until there is nothing (`once`), or for ever."""

    def __init__(self) -> None:
        # One connection to the database, which belongs to one thread.
        self.database = ThreadPoolExecutor(1)
        self.at_work: dict[str, asyncio.Task[None]] = {}

    async def run(self, *, once: bool) -> None:
        connector = aiohttp.TCPConnector(
            resolver=PublicOnly(), use_dns_cache=False, limit=0, keepalive_timeout=2
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Qyvo-Contacts"},
        ) as self.session:
            try:
                while await self.look() or not once:
                    await asyncio.sleep(0 if once else PAUSE)
            finally:
                for task in self.at_work.values():
                    task.cancel()
                await self.ask(lambda: connection.close())  # the thread's own
                self.database.shutdown()

    async def look(self) -> bool:
        """Starts work on the webhooks that have some; False where there was none."""
        await self.ask(derive)
        for webhook in await self.ask(lambda: list(Webhook.objects.to_work_on())):
            if webhook.pk not in self.at_work and len(self.at_work) < WEBHOOKS_AT_ONCE:
                self.at_work[webhook.pk] = asyncio.create_task(self.work_on(webhook))
        if not self.at_work:
            return False
        done, _ = await asyncio.wait(
            self.at_work.values(), timeout=PAUSE, return_when=asyncio.FIRST_COMPLETED
        )
        self.at_work = {pk: task for pk, task in self.at_work.items() if task not in done}
        for task in done:
            task.result()  # raises what went wrong with the database
        return True

    async def work_on(self, webhook: Webhook) -> None:
        """Sends all that is due to it; where a whole batch has failed, it may rest a moment."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def send(message: Message) -> Answer:
            async with slots:
                return await post(self.session, webhook, message)

        is_up = True
        while is_up and (batch := await self.ask(partial(claim, webhook))):
            answers = await asyncio.gather(*map(send, batch))
            is_up = await self.ask(partial(note, webhook, batch, answers))

    async def ask(self, question: Callable[[], Any]) -> Any:
        """What the database says, without holding up what is being sent."""
        return await asyncio.get_running_loop().run_in_executor(self.database, question)


def derive() -> None:
    """Makes deliveries of all that has happened."""
    for webhook in Webhook.objects.select_related("tenant").order_by("pk"):
        webhook.derive()


def claim(webhook: Webhook) -> list[Message]:
    return messages(webhook, webhook.deliveries.claim(BATCH))


def note(webhook: Webhook, batch: list[Message], answers: list[Answer]) -> bool:
    """Notes what became of a batch; False where all of it has failed."""
    arrived, failed = list[tuple[Delivery, Answer]](), list[tuple[Delivery, Answer]]()
    for (delivery, *_), answer in zip(batch, answers, strict=True):
        (failed if answer.problem else arrived).append((delivery, answer))
    webhook.deliveries.delivered(
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
    asyncio.run(Sender().run(once=once))
