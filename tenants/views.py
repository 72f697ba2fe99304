from http import HTTPStatus
from typing import Any, cast

from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.views import APIView

from .answers import Answer
from .isolation import set_tenant
from .models import ApiToken, Tenant, User
from .serializers import MeSerializer


class NoWorkspace(APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = "No workspace configured for this account."
    contract_code = "no_workspace"


class InsufficientScope(PermissionDenied):
    """403 for a token that lacks the scopes `missing`, with the header `WWW-Authenticate` as in
    RFC 6750, 3.1."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"This token lacks the scope {', '.join(missing)}.")
        self.auth_header = f'Bearer error="insufficient_scope", scope="{" ".join(missing)}"'


def tenant_of(request: Request) -> Tenant:
    """The tenant of the caller. Raises `NoWorkspace` if the user has none."""
    tenant = cast("User", request.user).tenant
    if tenant is None:
        raise NoWorkspace
    return tenant


class View(APIView):
    """A view that leaves no objects behind that refer to each other, as DRF's do: the view, its
    request and its handler. Python frees such objects when it searches for them. For 500 requests,
    a search takes 15 ms, and all threads of the process wait meanwhile."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        cast("Any", self.request).parser_context.clear()
        vars(self).pop("post", None)  # subclasses put their own handler there
        return response


class TenantAPIView(View):
    """A view that works on the caller's tenant: `self.tenant` is set before any handler runs.

    After authentication, and before the body is read, raises `NoWorkspace` if the user has no
    tenant and `InsufficientScope` if the token lacks one of `scopes`. A view with `operations` (by
    HTTP method) takes the scopes of the operation instead. Without either, the token needs all
    scopes: a view that forgets to name its scopes is not open to everybody.

    `rights`: permissions of Django that the scopes do not stand for. An app that a person has
    connected by OAuth needs the person to have them.
    """

    tenant: Tenant
    scopes: tuple[str, ...] = tuple(ApiToken.Scope)
    rights: tuple[str, ...] = ()
    operations: dict[str, Any] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.tenant = tenant_of(request)
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get(cast("str", method), self)
        token = cast("ApiToken", request.auth)
        if missing := token.lacking(operation.scopes):
            raise InsufficientScope(missing)
        rights = getattr(operation, "rights", ())
        if rights and token.application_id and not request.user.has_perms(rights):
            raise PermissionDenied("The role of the person who connected this app forbids this.")
        set_tenant(self.tenant.pk)


class Me(View):
    """The user that the token belongs to."""

    http_method_names = ["get", "head"]
    output_class = MeSerializer
    answer_headers = {"Qyvo-Scopes": "The scopes of the token, separated by spaces."}

    def get(self, request: Request) -> Answer:
        scopes = " ".join(cast("ApiToken", request.auth).scopes)
        return Answer(MeSerializer(request.user).data, headers={"Qyvo-Scopes": scopes})
