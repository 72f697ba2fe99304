"""The page on which staff choose how the admin shows things to themselves."""

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import languages
from ..models import User
from .scoped import user_of
from .selects import language_field, time_zone_field


class PreferencesForm(forms.ModelForm):
    """Each field is a field of the user."""

    language = language_field()
    time_zone = time_zone_field()

    class Meta:
        model = User
        fields = ["language", "time_zone"]


def page(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    form = PreferencesForm(request.POST if request.method == "POST" else None, instance=user)
    if form.is_valid():
        languages.activate_for(request)  # the message below already speaks the new one
        user.save(update_fields=form.fields)
        messages.success(request, _("Your preferences are saved."))
        return redirect("admin:preferences")
    context = admin.site.each_context(request) | {"title": _("Preferences"), "form": form}
    return TemplateResponse(request, "admin/tenants/preferences.html", context)
