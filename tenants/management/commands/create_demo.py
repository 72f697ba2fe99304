import secrets
from argparse import ArgumentParser
from typing import Any

from django.db import connection, transaction
from django.urls import reverse

from tenants.management.base import BaseCommand
from tenants.models import ApiToken, Tenant, User

EMAIL = "admin@example.com"

REQUEST = """\
curl -sS -X POST {url}{path} \\
  -H "Authorization: Bearer $QYVO_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{{"phone": "+14155550123", "name": "Romain", "tags": "vip, fr-FR"}}'
"""


FIRST_STEPS = """\
Admin: {url}{admin}
There is no user yet: on PostgreSQL, make run creates a demo tenant only with DEMO=1.
In another shell:

.venv/bin/python manage.py createsuperuser
.venv/bin/python manage.py create_tenant "Acme Co." --email shop@acme.example
.venv/bin/python manage.py create_token shop@acme.example"""


class Command(BaseCommand):
    help = (
        "On an empty database, creates a demo tenant, an admin user and a token, and prints them "
        "once. Always prints how to make the first request."
    )
    example = "--url http://127.0.0.1:8000"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--url",
            default="http://127.0.0.1:8000",
            help="address of the server, for the printed lines",
        )
        parser.add_argument(
            "--sqlite-only", action="store_true",
            help="on an empty PostgreSQL, create nothing and print the first steps",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"]
        with transaction.atomic():
            if User.objects.exists():
                lines = self.later(url)
            elif options["sqlite_only"] and connection.vendor != "sqlite":
                lines = [FIRST_STEPS.format(url=url, admin=reverse("admin:index"))]
            else:
                lines = self.first_time(url)
        request = REQUEST.format(url=url, path=reverse("create-contact"))
        self.stdout.write("\n".join(["", *lines, "", request, ""]))

    def first_time(self, url: str) -> list[str]:
        tenant = Tenant.objects.create(name="Demo", slug="demo")
        password = secrets.token_urlsafe(12)
        admin = User.objects.create_superuser(EMAIL, password, tenant=tenant)
        token = ApiToken.objects.issue(admin, "demo")
        return [
            f"Admin: {url}{reverse('admin:index')}  login {EMAIL}  password {password}",
            "The password and the token are shown only once. In another shell:",
            "",
            f"export QYVO_TOKEN={token.plaintext}",
        ]

    def later(self, url: str) -> list[str]:
        users = User.objects.filter(is_active=True).order_by("pk")
        admin = users.filter(is_superuser=True).first()
        # The token of a user without a tenant gets an error from every action.
        member = users.filter(tenant__isnull=False).first()
        return [
            f"Admin: {url}{reverse('admin:index')}",
            f"A new password: .venv/bin/python manage.py changepassword {email_of(admin)}",
            f"A new token:    .venv/bin/python manage.py create_token {email_of(member)}",
        ]


def email_of(user: User | None) -> str:
    return user.email if user else "EMAIL"
