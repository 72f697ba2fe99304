"""The page on which a person connects an app by OAuth. `tenants.urls` loads it for the first
request."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from oauth2_provider.exceptions import OAuthToolkitError
from oauth2_provider.forms import AllowForm
from oauth2_provider.models import Application
from oauth2_provider.oauth2_backends import _add_iss_to_redirect
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views import AuthorizationView
from oauthlib.oauth2 import InvalidRequestError, OAuth2Error
from oauthlib.oauth2.rfc6749.errors import CustomOAuth2Error
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from .. import roles
from ..models import ApiToken
from ..oauth.clients import CODE_CHALLENGE, LOOPBACK, is_safe_redirect
from ..oauth.views import is_here
from . import history
from .scoped import user_of
from .two_factor import note


class ConsentForm(AllowForm):
    """What the app asks for. The person takes away scopes, and can give none that the own role does
    not have. Everything in the hidden fields is checked again, because forms can be changed."""

    scope = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    code_challenge = forms.RegexField(CODE_CHALLENGE, strip=False, widget=forms.HiddenInput)
    code_challenge_method = forms.RegexField(r"\AS256\Z", widget=forms.HiddenInput)
    nonce = None  # of OpenID Connect
    claims = None

    def __init__(self, *args: Any, request: HttpRequest, offered: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.fields["scope"].choices = [(s, ApiToken.Scope(s).label) for s in offered]

    @property
    def application(self) -> Application | None:
        value = str(self["client_id"].value() or "")
        return Application.objects.filter(client_id=value.replace("\0", "")).first()

    @property
    def redirect_host(self) -> str:
        """The host that gets the person, and the code for the app, after the answer."""
        return urlsplit(self.redirect_uri).netloc

    @property
    def is_program(self) -> bool:
        """Whether the app runs on the person's own computer."""
        return urlsplit(self.redirect_uri).hostname in LOOPBACK

    @property
    def redirect_uri(self) -> str:
        """Checked by the toolkit; empty in a form that somebody changed."""
        uri = str(self["redirect_uri"].value() or "")
        return uri if is_safe_redirect(uri) else ""

    def clean_client_id(self) -> str:
        if self.application is None:
            raise forms.ValidationError(_("This app is no longer registered."))
        return str(self.cleaned_data["client_id"])

    def clean_resource(self) -> str:
        resources = self.cleaned_data["resource"]
        if not all(is_here(self.request, each) for each in resources.split()):
            raise forms.ValidationError(_("The app asks for another server."))
        return str(resources)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("allow") and not given.get("scope") and "scope" not in self.errors:
            self.add_error("scope", _("Choose at least one permission."))
        return given | {"scope": " ".join(given.get("scope", []))}


class Consent(AuthorizationView):
    """The toolkit's authorization endpoint, in the admin and so behind its login."""

    template_name = "admin/tenants/oauth/consent.html"
    form_class = ConsentForm
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ignores `prompt` and `approval_prompt`: with them, the toolkit could skip this page."""
        asked = request.GET.copy()
        for name in ("prompt", "approval_prompt"):
            asked.pop(name, None)
        request.GET = asked  # type: ignore[assignment]
        response: HttpResponse = super().get(request, *args, **kwargs)
        return response

    def validate_authorization_request(self, request: HttpRequest) -> tuple[list[str], Any]:
        """The known scopes of the request, and its other parameters. Raises `OAuthToolkitError`,
        which the app receives."""
        scopes, credentials = super().validate_authorization_request(request)
        if error := problem_of(request, credentials):
            raise OAuthToolkitError(error, redirect_uri=credentials["redirect_uri"])
        return [scope for scope in scopes if scope in ApiToken.Scope], credentials

    def get_initial(self) -> dict[str, Any]:
        asked = super().get_initial()
        return asked | {"scope": asked["scope"].split()}

    def get_form_kwargs(self) -> dict[str, Any]:
        """Offers the scopes that the app asks for and the person may give."""
        asked = self.oauth2_data.get("scopes", ApiToken.Scope.values)
        given = roles.scopes_to_give(user_of(self.request))
        offered = [scope for scope in given if scope in asked]
        options: dict[str, Any] = super().get_form_kwargs()
        return options | {"request": self.request, "offered": offered}

    def form_valid(self, form: ConsentForm) -> HttpResponse:
        user = user_of(self.request)
        if user.tenant is None:
            return self.form_invalid(form)
        response: HttpResponse = super().form_valid(form)
        if form.cleaned_data["allow"]:
            note(user, history.CONNECTED, app=form.application, scopes=form.cleaned_data["scope"])
        return response

    def redirect(self, redirect_to: str, application: Application | None) -> HttpResponse:
        """With `iss` in errors too (RFC 9207, 2)."""
        issuer = oauth2_settings.oauth2_authorization_server_issuer(self.request)
        response: HttpResponse = super().redirect(
            _add_iss_to_redirect(redirect_to, issuer), application
        )
        return response

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        context |= admin.site.each_context(self.request) | {
            "title": _("Connect an app"), "tenant": user_of(self.request).tenant,
        }  # fmt: skip
        return TemplateResponse(self.request, self.template_name, context, **options)


def problem_of(request: HttpRequest, credentials: dict[str, Any]) -> OAuth2Error | None:
    """The error of the request that the toolkit does not look for: PKCE without S256, or a token
    for another server. None if there is no such error."""
    state = credentials["state"]
    is_s256 = credentials.get("code_challenge_method") == "S256"
    if not is_s256 or not CODE_CHALLENGE.match(credentials["code_challenge"]):
        return InvalidRequestError("Use PKCE with S256.", state=state)
    if not all(is_here(request, each) for each in request.GET.getlist("resource")):
        text = "This server issues tokens for itself only."
        return CustomOAuth2Error("invalid_target", text, state=state)
    return None


page = admin.site.admin_view(Consent.as_view())
