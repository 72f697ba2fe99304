"""Workers and imports as processes, also ones that are killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from contacts.management.commands.worker import COMPANIONS
from contacts.models import Contact, Delivery, Import, ImportBatch, Webhook
from tests.support.api import PHONE
from tests.support.changes import settle
from tests.support.databases import test_database_url
from tests.support.imports import HEADER, counts, everything, start, write
from tests.support.imports_api import IMPORTS, counted, errors, outcome, post, wait_for
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE, wait_until, worker
from tests.support.receiver import Receiver
from tests.support.sql import assert_links_match_tags
from tests.support.turns import finished, rows, states
from tests.support.webhooks import State, send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("data_dir")]
# Rows that a worker writes in four transactions or more: on SQLite the first ones are small.
FOUR_BATCHES = {"sqlite": 5_000, "postgresql": 20_000}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "contacts.csv"


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_an_import_killed_at_any_point_goes_on_as_if_nothing_had_been(
    acme: SimpleNamespace, file: Path
) -> None:
    rows = [[f"+1415555{n % 3000:04}" if n % 97 else "bad", f"Ann {n}", "", f"t{n % 9}", n]
            for n in range(3300)]  # fmt: skip
    write(file, HEADER, *rows)
    undisturbed, _ = start(file).communicate(timeout=PATIENCE)
    expected = everything()
    assert expected[1]
    Contact.objects.all().delete()
    Import.objects.all().delete()
    for killed_at in (0, 1, 20):
        process = start(file, *(["--resume"] if killed_at else []))
        while not Import.objects.exists() or ImportBatch.objects.count() < killed_at:
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        job = Import.objects.get()
        assert job.state != Import.State.DONE, "killed too late: it had finished"
    resumed, errors = start(file, "--resume").communicate(timeout=PATIENCE)
    assert counts(resumed) == counts(undisturbed), errors
    assert everything() == expected
    assert_links_match_tags()
    assert Import.objects.get().state == Import.State.DONE
    _, problem = start(file, "--resume").communicate(timeout=PATIENCE)
    assert "There is no interrupted import" in problem


@pytest.mark.django_db(transaction=True)
def test_imports_of_the_same_contacts_do_not_end_each_other(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    """Each gives other fields in each row, so their rows are written in groups."""
    files = []
    for turn in range(2):
        rows = [[f"+1415555{n:04}", f"n{turn}", "a@b.example" if n % 2 == turn else "", "t", n]
                for n in range(1500)]  # fmt: skip
        files.append(write(tmp_path / f"{turn}.csv", HEADER, *rows))
    running = [start(path) for path in files]
    for process in running:
        printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert counts(printed)["failed"] == 0
    assert Contact.objects.count() == 1500
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_worker_killed_at_any_point_goes_on_when_it_is_started_again(
    acme: SimpleNamespace, data_dir: Path, tmp_path: Path
) -> None:
    number = FOUR_BATCHES[connection.vendor]
    phones = [f"+1415555{n % (number * 9 // 20):04}" for n in range(number)]
    rows = [f"{phone},Ann {n},t{n % 9}" if n % 97 else "bad" for n, phone in enumerate(phones)]
    content = "\n".join(["phone,name,tags", *rows])
    log = tmp_path / "log"
    undisturbed = outcome(acme.api, post(acme.api, content))
    expected = everything()
    assert expected[1]
    Contact.objects.all().delete()
    Import.objects.all().delete()
    job = post(acme.api, content).json()
    steps = [
        lambda: Import.objects.get().state == "reading",
        ImportBatch.objects.exists,
        lambda: ImportBatch.objects.count() > 2,
    ]
    for reached in steps:
        with worker(data_dir, log) as process:
            wait_for(reached, process, log)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not Import.objects.get().is_over, "killed too late: it had finished"
    so_far = acme.api.get(f"{IMPORTS}/{job['id']}").json()
    assert so_far["state"] == "writing"
    assert sum(counted(so_far)) > 0, "the answer tells how far it is"
    with worker(data_dir, log) as process:
        wait_for(lambda: Import.objects.get().is_over, process, log)
    assert counted(acme.api.get(f"{IMPORTS}/{job['id']}").json()) == counted(undisturbed)
    assert everything() == expected
    assert_links_match_tags()
    assert len(errors(acme.api, job)) == 1 + undisturbed["failed"]


@pytest.mark.django_db(transaction=True)
def test_a_worker_lets_a_small_import_pass_a_large_one(
    acme: SimpleNamespace, globex: SimpleNamespace, data_dir: Path, tmp_path: Path
) -> None:
    """Both wait when the worker starts, which enqueues them itself."""
    number = FOUR_BATCHES[connection.vendor]
    large = post(acme.api, "phone\n" + "".join(f"+1415{n:07}\n" for n in range(number))).json()
    small = post(globex.api, rows(1, 5)).json()
    with worker(data_dir, tmp_path / "log", "--once", "--turn", "0") as process:
        assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert {*states().values()} == {"done"}
    assert finished() == [small["id"], large["id"]]
    assert acme.tenant.contacts.count() == number


def test_deliveries_of_a_killed_worker_are_sent_again(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook
) -> None:
    is_killed = Event()
    receiver.answer = lambda received: 200 if is_killed.wait(PATIENCE) else 500
    acme.api.create()
    settle()
    environment = os.environ | {
        "DATABASE_URL": test_database_url(), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }  # fmt: skip
    command = [sys.executable, "manage.py", "deliver_webhooks"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as worker:
        try:
            wait_until(lambda: bool(receiver.received))
        finally:
            worker.kill()
    is_killed.set()
    [first] = receiver.received
    send()
    assert len(receiver.received) == 1, "another worker could still be sending it"
    Delivery.objects.update(due_at=timezone.now())  # two minutes later
    send()
    assert [r.headers["X-Qyvo-Delivery-Id"] for r in receiver.received] == [
        first.headers["X-Qyvo-Delivery-Id"]
    ] * 2
    assert Delivery.objects.get().state == State.DELIVERED


def companions_of(worker: int) -> dict[str, int]:
    """The process of each command that the worker runs beside itself, when all have started: one
    may send already while another has not begun."""
    found: dict[str, int] = {}

    def all_run() -> bool:
        found.clear()
        for process in psutil.Process(worker).children():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                words = process.cmdline()
                found.update({name: process.pid for name in COMPANIONS if name in words})
        return {*found} == {*COMPANIONS}

    wait_until(all_run)
    return found


def has_more(receiver: Receiver, before: int) -> bool:
    return len(receiver.received) > before


def test_the_worker_sends_new_deliveries_and_ends_its_child_processes(
    acme: SimpleNamespace, receiver: Receiver, webhook: Webhook, server_data_dir: Path
) -> None:
    environment = os.environ | {
        "DATABASE_URL": test_database_url(), "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "DATA_DIR": str(server_data_dir),
    }  # fmt: skip
    command = [sys.executable, "manage.py", "worker"]
    found = []
    with subprocess.Popen(command, cwd=ROOT, env=environment) as worker:
        try:
            for phone in (PHONE, "+14155550124"):
                before = len(receiver.received)
                acme.api.create(phone)
                settle()
                wait_until(partial(has_more, receiver, before))
                found.append(companions_of(worker.pid))
                if phone == PHONE:
                    os.kill(found[0]["deliver_webhooks"], signal.SIGKILL)  # it is replaced
        finally:
            worker.terminate()
    assert receiver.events() == ["contact.created"] * 2
    first, second = found
    assert first["deliver_webhooks"] != second["deliver_webhooks"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in second.values())


def test_deliver_webhooks_ends_if_its_worker_was_killed_at_once(db: None) -> None:
    command = [sys.executable, "manage.py", "deliver_webhooks", "--of-worker", "1"]
    environment = os.environ | {"DATABASE_URL": test_database_url()}
    subprocess.run(command, cwd=ROOT, env=environment, timeout=PATIENCE, check=True)
