import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.urls import reverse

from tenants.models import ApiToken, Tenant, User

EMAIL = "admin@example.com"

REQUEST = """\
curl -sS -X POST {url}{path} \\
  -H "Authorization: Bearer $QYVO_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{{"phone": "+14155550123", "name": "Romain", "tags": "vip, fr-FR"}}'
"""


class Command(BaseCommand):
    help = (
        "On an empty database: a demo tenant, an admin and a token, printed this once. "
        "Always: how to make the first request."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server is")

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"]
        with transaction.atomic():
            lines = self.first_time(url) if not User.objects.exists() else self.later(url)
        request = REQUEST.format(url=url, path=reverse("create-contact"))
        self.stdout.write("\n".join(["", *lines, "", request, ""]))

    def first_time(self, url: str) -> list[str]:
        tenant = Tenant.objects.create(name="Demo", slug="demo")
        password = secrets.token_urlsafe(12)
        admin = User.objects.create_superuser(EMAIL, password, tenant=tenant)
        token = ApiToken.objects.issue(admin, "demo")
        return [
            f"Admin: {url}{reverse('admin:index')}  login {EMAIL}  password {password}",
            "Neither the password nor the token is shown again. In another shell:",
            "",
            f"export QYVO_TOKEN={token.plaintext}",
        ]

    def later(self, url: str) -> list[str]:
        admin = User.objects.filter(is_superuser=True).order_by("pk").first()
        email = admin.email if admin else "EMAIL"
        return [
            f"Admin: {url}{reverse('admin:index')}",
            f"A new password: .venv/bin/python manage.py changepassword {email}",
            f"A new token:    .venv/bin/python manage.py create_token {email}",
        ]
