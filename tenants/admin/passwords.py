"""The pages on which people ask for a new password and set it. Open to everybody."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import FormView
from limits import RateLimitItem, RateLimitItemPerHour
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from .. import passwords
from ..keys import lasting_hmac
from ..login_limits import forget_failures
from ..logins import address_of, in_words
from ..models import User
from ..throttling import Quota, counter

OF_ADDRESS = RateLimitItemPerHour(20)  # requests from one address, for any accounts
OF_ACCOUNT = RateLimitItemPerHour(3)  # e-mails to one account, so that nobody floods a mailbox
SENT = gettext_noop(
    "If this address has an account, an e-mail with a link is on its way. It takes a few minutes; "
    "look into the spam folder, too."
)
NEXT = "next_after_password"  # in the session: where the login leads


class ForgottenForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("Email"),
        max_length=254,
        widget=UnfoldAdminEmailInputWidget({"autocomplete": "username", "autofocus": ""}),
    )


class NewPasswordForm(SetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


@method_decorator([never_cache, csrf_protect], name="dispatch")
class Forgotten(FormView):
    """Asks for an e-mail with a link. The answer, its time and the limits are the same with and
    without an account."""

    template_name = "registration/forgotten.html"
    form_class = ForgottenForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not settings.HAS_EMAIL:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        own = super().get_context_data(**kwargs) | {"title": _("Forgot password")}
        return admin.site.each_context(self.request) | own | {"login_url": self.login_url()}

    def login_url(self) -> str:
        return login_url(self.request.GET.get("next", ""))

    def form_valid(self, form: forms.Form) -> HttpResponse:
        allowed, quota = count(OF_ADDRESS, f"address {address_of(self.request)}")
        if not allowed:
            return self.refuse(form, quota.reset)
        email = User.objects.normalize_email(form.cleaned_data["email"])
        if count(OF_ACCOUNT, f"account {email}")[0]:
            found = User.objects.filter(email=email).values_list("pk", flat=True).first()
            passwords.send(self.request, found, passwords.FORGOTTEN)
        if following := self.request.GET.get("next"):
            self.request.session[NEXT] = following
        messages.info(self.request, _(SENT))
        return redirect(self.login_url())

    def refuse(self, form: forms.Form, seconds: int) -> HttpResponse:
        sentence = _("Too many requests. Try again in %(time)s.")
        form.add_error(None, sentence % {"time": in_words(seconds)})
        answer = self.form_invalid(form)
        answer.status_code = 429
        answer["Retry-After"] = str(seconds)
        return answer


def count(item: RateLimitItem, key: str) -> tuple[bool, Quota]:
    """Counts a request against the limit `item`. The store gets a digest of `key`, which may have
    the e-mail address of a person."""
    digest = lasting_hmac("tenants.admin.passwords", key, "sha256").hexdigest()
    return counter(settings.RATELIMIT_STORAGE_URL).count(item, digest)


def login_url(following: str) -> str:
    """The login, which then leads to `following` if that is an address of this site."""
    query = urlencode({"next": following})
    return f"{reverse('admin:login')}?{query}" if following else reverse("admin:login")


class SetPassword(PasswordResetConfirmView):
    """The page of a link. The login follows: with two-factor login, it still asks for a code."""

    template_name = "registration/set_password.html"
    form_class = NewPasswordForm
    title = gettext_lazy("Choose a password")

    def get_user(self, uidb64: str) -> User | None:
        user: User | None = super().get_user(uidb64)
        return user if user and user.is_active else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        own = super().get_context_data(**kwargs)
        title = {} if self.validlink else {"title": _("This link does not work")}
        return admin.site.each_context(self.request) | own | title | {
            "of": self.user, "has_email": settings.HAS_EMAIL,
        }  # fmt: skip

    def get_success_url(self) -> str:
        return login_url(self.request.session.pop(NEXT, ""))

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.user
        if settings.HAS_EMAIL and user.has_usable_password():
            passwords.send(self.request, user.pk, passwords.CHANGED)
        forget_failures(user, address_of(self.request))
        messages.success(self.request, _("Your password is set. Log in with it."))
        return super().form_valid(form)


urls = [
    path("password/forgotten/", Forgotten.as_view(), name="forgot_password"),
    path("password/<uidb64>/<token>/", SetPassword.as_view(), name="set_password"),
]
