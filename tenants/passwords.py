"""How people get a password: by a link, which somebody hands over or an e-mail brings.

The tokens of the links are Django's: a token works once, for PASSWORD_RESET_TIMEOUT seconds, and
ends with the next login or change of the password. A worker sends the e-mails. So a request takes
the same time whether the account exists or not, and a mail server that is down fails no request
(OWASP, Forgot Password Cheat Sheet).
"""

import logging
from datetime import timedelta

from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django_tasks import task

from .languages import speaking_to
from .models import User

logger = logging.getLogger(__name__)

# The e-mails: templates. The first line of each is the subject.
INVITATION, FORGOTTEN, CHANGED = "invitation", "forgotten", "changed"
TRIES = 6  # of an e-mail: with the pauses below, for an hour
FIRST_PAUSE = timedelta(minutes=2)  # before the second try; doubles with each further one


def link_path(user: User) -> str:
    """The path of a new link for `user`. Whoever has the link can set the password."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("admin:set_password", args=[uid, default_token_generator.make_token(user)])


def send(request: HttpRequest, pk: int | None, letter: str) -> None:
    """Lets a worker send `letter` to the user `pk`, with links to the host of `request`. None for
    an address without an account: the request must do the same work."""
    send_letter.enqueue(pk, request.build_absolute_uri("/").rstrip("/"), letter)


@task()
def send_letter(pk: int | None, origin: str, letter: str, tries: int = 1) -> None:
    """Sends an e-mail to the user `pk`; nothing if this user may not log in. Who has forgotten a
    password, but has none, gets the invitation again if nobody has used it yet.

    `origin`: the scheme and host of links. If the mail server fails, the worker tries again later.
    """
    people = User.objects.filter(is_active=True, is_staff=True)
    user = people.filter(pk=pk).first() if pk else None
    if user and letter == FORGOTTEN and not user.has_usable_password():
        letter = "" if user.last_login else INVITATION
    if user is None or not letter:
        return
    context = {"of": user, "origin": origin, "link": origin + link_path(user)}
    with speaking_to(user):
        subject, _, text = render_to_string(f"registration/{letter}.txt", context).partition("\n")
    headers = {"Auto-Submitted": "auto-generated"}  # RFC 3834: no answers by programs
    try:
        EmailMessage(subject, text.strip(), to=[user.email], headers=headers).send()
    except OSError as error:
        # Without its text, which may have the address.
        kind = type(error).__name__
        logger.error("An e-mail to user %s was not sent (%s), try %s", pk, kind, tries)  # noqa: TRY400
        if tries < TRIES:
            later = timezone.now() + FIRST_PAUSE * 2 ** (tries - 1)
            send_letter.using(run_after=later).enqueue(pk, origin, letter, tries + 1)
