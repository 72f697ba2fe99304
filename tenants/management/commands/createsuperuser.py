import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from tenants.management.base import BaseCommand
from tenants.models import User


class Command(BaseCommand, createsuperuser.Command):
    """Django's own command checks the password only if a person types it. This command also checks
    the password in DJANGO_SUPERUSER_PASSWORD."""

    example = "--email boss@acme.example"

    def handle(self, *args: Any, **options: Any) -> str | None:
        if not options["interactive"]:
            self.check_password(options["email"])
        return super().handle(*args, **options)

    def check_password(self, email: str | None) -> None:
        """Raises `CommandError` with the reasons if DJANGO_SUPERUSER_PASSWORD is too weak. If the
        variable is not set, the user gets no password and there is nothing to check."""
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if password is None:
            return
        email = email or os.environ.get("DJANGO_SUPERUSER_EMAIL", "")
        try:
            validate_password(password, User(email=email))
        except ValidationError as error:
            reasons = " ".join(error.messages)
            raise CommandError(f"DJANGO_SUPERUSER_PASSWORD is refused. {reasons}") from error
