from http import HTTPStatus
from typing import Any, cast

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .isolation import see
from .models import Tenant, User
from .serializers import MeSerializer


class NoWorkspace(APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = "No workspace configured for this account."
    contract_code = "no_workspace"


def tenant_of(request: Request) -> Tenant:
    tenant = cast("User", request.user).tenant
    if tenant is None:
        raise NoWorkspace
    return tenant


class TenantAPIView(APIView):
    """A view inside the caller's tenant: `self.tenant` is set before any handler runs.

    Raises `NoWorkspace` for users without one, after authentication and before the body is
    looked at.
    """

    tenant: Tenant

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.tenant = tenant_of(request)
        see(self.tenant.pk)


class Me(APIView):
    """Who the token belongs to."""

    http_method_names = ["get", "head"]
    output_class = MeSerializer

    def get(self, request: Request) -> Response:
        return Response(MeSerializer(request.user).data)
