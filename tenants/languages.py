"""The language in which the admin and e-mails speak to a user. The API always speaks English.

`LanguageMiddleware` begins each page in the language of the browser, and ends the language after
the answer. `activate_for` changes to the language of the user, at the beginning of each view of the
admin. Pages before the login, and answers without a view, such as the one to a form that is too
old, keep the language of the browser.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import parse_accept_lang_header

ACCEPTED = "Accept-Language"  # the header
PAGES = "/admin/"  # where the addresses begin that people read; all others are for programs


def catalogue(code: str) -> Path:
    """The compiled texts of a language (`qyvo.catalogues`)."""
    folder = Path(settings.LOCALE_PATHS[0])
    return folder / translation.to_locale(code) / "LC_MESSAGES" / "django.mo"


def is_offered(code: str) -> bool:
    """Whether people can choose this language: the texts are written in English, every other
    language needs its catalogue."""
    is_known = code in dict(settings.LANGUAGES)
    return code == settings.LANGUAGE_CODE or (is_known and catalogue(code).exists())


def offered() -> list[str]:
    return [code for code, _name in settings.LANGUAGES if is_offered(code)]


def label(code: str) -> str:
    """The name of a language in this language, which its speakers find in every language."""
    name = str(dict(settings.LANGUAGES)[code])
    if code in settings.REVIEWED_LANGUAGES:
        return name
    return _("%(language)s (not yet reviewed by a native speaker)") % {"language": name}


def choices() -> list[tuple[str, str]]:
    """All choices of a form, the language of the browser first."""
    return [("", _("The language of the browser")), *((code, label(code)) for code in offered())]


def validate_language(code: str) -> None:
    if code not in dict(settings.LANGUAGES):
        raise ValidationError(_("Send the code of a language, such as fr or pt-br."))


def of_browser(accepted: str | None) -> str:
    """The first of our languages that the browser asks for with `accepted`, the header
    `Accept-Language` (RFC 9110, 12.5.4); English if it asks for none of them."""
    for asked, weight in parse_accept_lang_header(accepted or ""):
        if asked == "*" or not weight:  # any language; and from here on, none that is wanted
            break
        try:
            code = translation.get_supported_language_variant(asked)
        except LookupError:
            continue
        if is_offered(code):
            return code
    return settings.LANGUAGE_CODE


def activate_for(request: HttpRequest) -> None:
    """Sets the language for the rest of the request: the language that the user has chosen; or the
    language of the browser, if the user has chosen none, or one that is no longer offered."""
    chosen = request.user.language if request.user.is_authenticated else ""
    is_chosen = is_offered(chosen)
    translation.activate(chosen if is_chosen else of_browser(request.headers.get(ACCEPTED)))


def speaking_to(user: Any) -> AbstractContextManager[None]:
    """`speaking` in the language that `user` has chosen: for e-mails, which are outside a request.
    Without a choice they are in English."""
    return speaking(user.language)


def speaking(code: str) -> AbstractContextManager[None]:
    """Texts inside the block are in this language; in English if it is not offered (any more)."""
    return translation.override(code if is_offered(code) else settings.LANGUAGE_CODE)


class LanguageMiddleware:
    """Begins and ends the language of a page: the next request of this thread may be of somebody
    else. Requests of programs never have another language than English."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PAGES):
            return self.get_response(request)
        translation.activate(of_browser(request.headers.get(ACCEPTED)))
        try:
            response = self.get_response(request)
            response.headers.setdefault("Content-Language", translation.get_language() or "")
        finally:
            translation.deactivate()
        patch_vary_headers(response, [ACCEPTED])
        return response
