"""The pages on which people set a password without their old one. Open to everybody."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpResponse
from django.urls import path, reverse_lazy
from unfold.widgets import UnfoldAdminPasswordWidget

from ..models import User


class NewPasswordForm(SetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class SetPassword(PasswordResetConfirmView):
    """The page of a link. The login follows: with two-factor login, it still asks for a code."""

    template_name = "registration/set_password.html"
    form_class = NewPasswordForm
    success_url = reverse_lazy("admin:login")
    title = "Choose a password"

    def get_user(self, uidb64: str) -> User | None:
        user: User | None = super().get_user(uidb64)
        return user if user and user.is_active else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        own = super().get_context_data(**kwargs)
        title = {} if self.validlink else {"title": "This link does not work"}
        return admin.site.each_context(self.request) | own | {"of": self.user} | title

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is set. Log in with it.")
        return super().form_valid(form)


urls = [
    path("password/<uidb64>/<token>/", SetPassword.as_view(), name="set_password"),
]
