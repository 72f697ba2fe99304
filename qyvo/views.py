"""The pages and documents about the service itself."""

from functools import lru_cache
from threading import Lock
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from rest_framework.request import Request
from rest_framework.views import APIView

made_once = Lock()


@lru_cache
def made_openapi() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def openapi() -> dict[str, Any]:
    """The API as OpenAPI 3.1; made once, because it depends on the code only.

    By one thread at a time: the generator fills registries of its own when it is first used.
    """
    with made_once:
        return made_openapi()


class SchemaJSON(APIView):
    """The schema, for anybody: no token needed."""

    schema = None  # it does not describe itself
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    http_method_names = ["get", "head"]
    renderer: Any = OpenApiJsonRenderer2

    def get(self, request: Request) -> HttpResponse:
        document = self.renderer().render(openapi(), renderer_context={})
        return HttpResponse(document, content_type=self.renderer.media_type)


class SchemaYAML(SchemaJSON):
    renderer = OpenApiYamlRenderer2
