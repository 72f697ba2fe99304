"""What all actions have in common."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from django.http import HttpResponseBase
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from contacts.finding import cursors
from contacts.models import Contact, Tag
from contacts.values.rules import RuleBroken
from tenants.models import ApiToken
from tenants.views import TenantAPIView

from . import fields

MERGED_INTO = "Qyvo-Merged-Into"
Scope = ApiToken.Scope
Found = TypeVar("Found")


class ActionView(TenantAPIView):
    """An action of the API: `input_class` reads its body, `self.tenant` is whose rows it sees.

    `output_class` is what it answers with status `success`, an array of them where `is_list`;
    `answer_headers` are those of its own, each with what it tells.
    """

    http_method_names = ["post"]
    input_class: type[Serializer]
    output_class: type[Serializer]
    is_list = False
    success = HTTPStatus.OK
    answer_headers: dict[str, str] = {}

    def answer(self, result: Any, **headers: str) -> Response:
        show = fields.shared(self.output_class).to_representation
        data = [*map(show, result)] if self.is_list else show(result)
        return Response(data, status=self.success, headers=headers)

    def clean(self, request: Request) -> dict[str, Any]:
        """The body's fields; raises `ValidationError`."""
        reader = fields.shared(self.input_class, self.tenant.default_region)
        return reader.run_validation(request.data)

    def with_contact(self, key: dict[str, str], verb: Callable[[dict[str, Any]], Found]) -> Found:
        """`verb` of the contact that `key` names: of the one that is asked for, or else of the one
        that it has been merged into. Raises `DoesNotExist`."""
        while True:
            try:
                return verb(key)
            except Contact.DoesNotExist:
                gone = key.get("contact_id")
                into = self.tenant.changes.merged_into(gone) if gone else ""
                if not into:
                    raise
                self.headers[MERGED_INTO] = into
                key = {"contact_id": into}

    def handle_exception(self, error: Exception) -> Response:
        if isinstance(error, Contact.DoesNotExist):
            error = NotFound("Contact not found")
        elif isinstance(error, RuleBroken):
            error = ValidationError({error.field: [str(error)]})
        return super().handle_exception(error)


def read_cursor(cursor: str, *scope: Any) -> cursors.Position | None:
    """Raises `ValidationError` for one of another list."""
    try:
        return cursors.read(cursor, *scope) if cursor else None
    except ValueError as error:
        raise ValidationError({"cursor": [str(error)]}) from error


class PagedAction(ActionView):
    """An action that answers a page of a list, which `find` reads.

    The list is ordered by the field `order`, then by id.
    """

    order: str

    def page(self, fields: dict[str, Any]) -> tuple[list[Any], str | None]:
        """The page that the clean `fields` of the body ask for, and the cursor of the next."""
        limit, cursor = fields.pop("limit"), fields.pop("cursor")
        scope = (self.tenant.pk, self.order, fields)
        found = self.find(read_cursor(cursor, *scope), limit + 1, fields)
        page = found[:limit]
        if len(found) == len(page):
            return page, None
        return page, cursors.write(self.position(page[-1]), *scope)

    def position(self, row: Any) -> cursors.Position:
        return getattr(row, self.order), row.pk

    def find(
        self, after: cursors.Position | None, limit: int, filters: dict[str, Any]
    ) -> list[Any]:
        """`limit` rows behind the position `after`."""
        raise NotImplementedError

    def tag(self, name: str) -> Tag | None:
        return self.tenant.tags.named(name) if name else None


class PagedArray(PagedAction):
    """A `PagedAction` that answers an array: the cursor of the next page is in headers."""

    is_list = True
    answer_headers = {
        "Qyvo-Next-Cursor": "The cursor of the next page, where there is one.",
        "Link": "The address of the next page, to post the same body to (RFC 8288).",
    }
    query_parameters = {"cursor": "As in the body; this one counts. `Link` has it."}

    def clean(self, request: Request) -> dict[str, Any]:
        fields = super().clean(request)
        return fields | {"cursor": request.query_params.get("cursor") or fields["cursor"]}

    def post(self, request: Request) -> HttpResponseBase:
        page, next_cursor = self.page(self.clean(request))
        if next_cursor is None:
            return self.answer(page)
        here = request.build_absolute_uri(request.path)
        link = f'<{here}?cursor={next_cursor}>; rel="next"'
        return self.answer(page, **{"Qyvo-Next-Cursor": next_cursor, "Link": link})
