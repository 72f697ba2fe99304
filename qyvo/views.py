"""Documents about the service itself: the OpenAPI schema and the metrics.

Few processes make such a document, and commands never do. Therefore the functions import what makes
it: the generator of the schema takes 4 MiB and a twentieth of the time in which a process starts.
"""

from functools import lru_cache
from threading import Lock
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import resolve
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import OpenApiYamlRenderer2
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.answers import JSON

from .api import error_body

generating = Lock()


@lru_cache
def generated_openapi() -> dict[str, Any]:
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


def openapi() -> dict[str, Any]:
    """The OpenAPI schema. Generated once per process, because it depends only on the code.

    Only one thread generates it: the generator fills global registries on first use.
    """
    with generating:
        return generated_openapi()


class SchemaJSON(APIView):
    """The OpenAPI schema in JSON. Public: needs no token."""

    schema = None  # the schema does not describe itself
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    http_method_names = ["get", "head"]
    renderer: Any = JSON

    def get(self, request: Request) -> HttpResponse:
        document = self.renderer().render(openapi(), renderer_context={})
        return HttpResponse(document, content_type=self.renderer.media_type)


class SchemaYAML(SchemaJSON):
    renderer = OpenApiYamlRenderer2


@csrf_exempt  # as the views that it calls
def without_slash(request: HttpRequest, path: str) -> HttpResponseBase:
    """Answers an address of the API with a slash at its end like the address without it.

    The route to this view is the last of the API, so that requests without the slash cost nothing.
    Raises `Http404`.
    """
    request.resolver_match = match = resolve(request.path_info.rstrip("/"))
    return match.func(request, *match.args, **match.kwargs)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics for Prometheus. Needs METRICS_TOKEN as the bearer token; 404 if it is not set."""
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "")
    if not constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}"):
        return JsonResponse(error_body(401), status=401, headers={"WWW-Authenticate": "Bearer"})
    from .metrics import CONTENT_TYPE, exposition

    return HttpResponse(exposition(), content_type=CONTENT_TYPE)
