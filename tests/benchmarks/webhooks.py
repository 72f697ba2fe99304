"""How fast deliveries drain, and in how much memory: python -m tests.benchmarks.webhooks [number]

On the database of DATABASE_URL, which should be empty (see tests/support/postgres.py). Beside it,
the same number of requests by the same library to the same receiver, without a database.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import django

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 100_000
ROOT = Path(__file__).resolve().parents[2]
RECEIVER = """
import sys
from aiohttp import web

async def take(request):
    await request.read()
    return web.Response(text="ok")

app = web.Application()
app.router.add_post("/", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def memory_of(pid: int) -> int:
    """Resident, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    return 0


async def plainly(url: str, number: int) -> float:
    import aiohttp

    body, slots = b"x" * 500, asyncio.Semaphore(20)
    async with aiohttp.ClientSession() as session:

        async def post() -> None:
            async with slots, session.post(url, data=body) as response:
                await response.read()

        start = time.perf_counter()
        for _ in range(number // 1000):
            await asyncio.gather(*(post() for _ in range(1000)))
        return number / (time.perf_counter() - start)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    os.environ["WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.0/8"
    django.setup()
    from django.core.management import call_command

    from contacts.models import EVENTS, Contact, Delivery, Webhook
    from contacts.webhooks import outbox
    from contacts.writing.upsert import replace_many
    from tenants.models import Tenant
    from tests.support.processes import free_port

    call_command("migrate", verbosity=0)
    tenant = Tenant.objects.create(name="Bench", slug=f"bench-{int(time.time())}")
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with subprocess.Popen([sys.executable, "-c", RECEIVER, str(port)]) as receiver:
        outbox.create(Webhook(tenant=tenant, url=url, events=EVENTS))
        for first in range(0, NUMBER, 1000):
            phones = (f"+1415{n:07}" for n in range(first, first + 1000))
            rows = [{"phone": phone, "name": "Ann", "tags": ["vip"]} for phone in phones]
            replace_many(tenant, rows, Contact.Source.API)
        start = time.perf_counter()
        outbox.enqueue_deliveries()
        print(f"enqueued: {NUMBER / (time.perf_counter() - start):,.0f}/s")
        alone = asyncio.run(plainly(url, NUMBER // 5))
        command = [sys.executable, "manage.py", "deliver_webhooks", "--once"]
        start = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT) as worker:
            early, late = 0, 0
            while worker.poll() is None:
                time.sleep(1)
                late = memory_of(worker.pid) or late
                early = early or (late if time.perf_counter() - start > 10 else 0)
        rate = NUMBER / (time.perf_counter() - start)
        receiver.terminate()
    waiting = Delivery.objects.exclude(state="delivered").count()
    print(f"delivered: {rate:,.0f}/s, {rate / alone:.2f} of the plain requests' {alone:,.0f}/s")
    print(f"memory: {early} MiB after 10 s, {late} MiB at the end; not delivered: {waiting}")


if __name__ == "__main__":
    main()
