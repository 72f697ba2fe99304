"""What all actions of the API have in common: reading a body, finding a contact, and pages."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.http import HttpResponseBase
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from contacts.db import keyset
from contacts.finding import cursors
from contacts.models import Contact, Tag
from contacts.values.rules import RuleBroken
from tenants.answers import Answer
from tenants.models import ApiToken

from . import consistency, fields
from .idempotency import RepeatableView

MERGED_INTO = "Qyvo-Merged-Into"
PAGE, PARTIAL = "Qyvo-Page", "partial"
OF_A_FILTERED_PAGE = {
    PAGE: "`partial`: the page is short, or empty, because the server has read as many contacts as"
    " it reads for one request. Go on with the cursor."
}
Scope = ApiToken.Scope
Found = TypeVar("Found")
Row = TypeVar("Row", bound=Model)


class ActionView(RepeatableView):
    """An action of the API: a POST with a JSON body, on the rows of `self.tenant` only.

    `input_class`: the shape of the body. `output_class`: the shape of the answer, or of each entry
    if `is_list`. `success`: the status of the answer. `answer_headers`: headers that only this
    action sends, each with its description for the OpenAPI document. `consistency`: of an action
    that may read from a replica, whether it does so unless the caller says otherwise.
    """

    http_method_names = ["post"]
    input_class: type[Serializer]
    output_class: type[Serializer]
    is_list = False
    success = HTTPStatus.OK
    answer_headers: dict[str, str] = {}
    consistency = ""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.consistency:
            # DRF calls the handler that the instance has.
            setattr(self, "post", partial(self.read, cast("Any", self).post))  # noqa: B010

    def read(self, handler: Callable[[Request], Answer], request: Request) -> Answer:
        return consistency.read(request, self.consistency, handler, self.headers)

    def answer(self, result: Any, **headers: str) -> Answer:
        """The answer with `result` in the shape `output_class`."""
        return Answer(self.shown(result), status=self.success, headers=headers)

    def shown(self, result: Any) -> Any:
        show = fields.shared(self.output_class).to_representation
        return [*map(show, result)] if self.is_list else show(result)

    def clean(self, request: Request) -> dict[str, Any]:
        """The values of the body, checked by `input_class`. Raises `ValidationError`."""
        reader = fields.shared(self.input_class, self.tenant.default_region)
        # Actions ignore parameters of the address: with `?dry_run`, they would change contacts.
        if "dry_run" in reader.fields and "dry_run" in request.query_params:
            raise ValidationError({"dry_run": ["Send dry_run in the body, not in the address."]})
        return reader.run_validation(request.data)

    def with_contact(self, key: dict[str, str], verb: Callable[[dict[str, Any]], Found]) -> Found:
        """Calls `verb` with the key of the contact that the caller means; returns its result.

        `key`: one of the names of `ContactKey.keys`, with its value. If the contact was merged into
        another contact, `verb` gets the id of that contact, and the header `Qyvo-Merged-Into` tells
        the caller. Raises `Contact.DoesNotExist` if there is no contact.
        """
        while True:
            try:
                return verb(key)
            except Contact.DoesNotExist:
                contact_id = key.get("contact_id")
                survivor = self.tenant.changes.merged_into(contact_id) if contact_id else ""
                if not survivor:
                    raise
                self.headers[MERGED_INTO] = survivor
                key = {"contact_id": survivor}

    def handle_exception(self, error: Exception) -> Any:
        if isinstance(error, Contact.DoesNotExist):
            error = NotFound("Contact not found")
        elif isinstance(error, RuleBroken):
            error = ValidationError({error.field: [str(error)]})
        return super().handle_exception(error)


def found_or_404(rows: QuerySet[Row], pk: str, noun: str) -> Row:
    """The row with this id. Raises `NotFound`, which says that there is no such `noun`."""
    try:
        return rows.get(pk=pk)
    except (ObjectDoesNotExist, ValueError):  # no such id, or no id at all
        raise NotFound(f"{noun} not found") from None


def read_cursor(cursor: str, *scope: Any) -> cursors.Position | None:
    """The position that `cursor` stands for; None for an empty cursor.

    `scope`: as in `cursors.write`. Raises `ValidationError` for a cursor of another list.
    """
    try:
        return cursors.read(cursor, *scope) if cursor else None
    except ValueError as error:
        raise ValidationError({"cursor": [str(error)]}) from error


class PagedAction(ActionView):
    """An action that answers one page of a list. Subclasses read the rows of the page in `find`.

    `order`: the field by which the list is ordered; rows with the same value are ordered by id.
    `edge`: where `find` stopped to read although the page is not full, if it did; see
    `keyset.Page`. Without this bound, a filter that hardly any contact matches would read them all.
    """

    order: str
    edge: keyset.Position | None = None

    def page(self, fields: dict[str, Any]) -> tuple[list[Any], str | None]:
        """The page that the body asks for, and the cursor of the next page, or None.

        `fields`: the checked values of the body; `limit` and `cursor` are removed from them.
        """
        limit, cursor = fields.pop("limit"), fields.pop("cursor")
        # Without an empty filter: cursors of the version before, which knew no filter, stay valid.
        named = {name: value for name, value in fields.items() if name != "filter" or value}
        scope = (self.tenant.pk, self.order, named)
        found = self.find(read_cursor(cursor, *scope), limit + 1, fields)
        page = found[:limit]
        if len(found) > limit:
            return page, cursors.write(self.position(page[-1]), *scope)
        if not self.edge:
            return page, None
        self.headers[PAGE] = PARTIAL
        return page, cursors.write(self.edge, *scope)

    def position(self, row: Any) -> cursors.Position:
        """The position of `row` in the list."""
        return getattr(row, self.order), row.pk

    def find(
        self, after: cursors.Position | None, limit: int, filters: dict[str, Any]
    ) -> list[Any]:
        """The next `limit` rows that match `filters`, after the position `after`."""
        raise NotImplementedError

    def tag(self, name: str) -> Tag | None:
        """The tag to filter by; None without a name. An unknown name gives an unsaved tag."""
        return self.tenant.tags.named(name) if name else None


class PagedArray(PagedAction):
    """A `PagedAction` that answers an array, and the cursor of the next page in headers."""

    is_list = True
    answer_headers = {
        "Qyvo-Next-Cursor": "The cursor of the next page, if there is a next page.",
        "Link": "The address of the next page: post the same body to it (RFC 8288).",
    }
    query_parameters = {
        "cursor": (
            {"type": "string"},
            "As `cursor` in the body, and preferred to it. `Link` contains it.",
        )
    }

    def clean(self, request: Request) -> dict[str, Any]:
        fields = super().clean(request)
        return fields | {"cursor": request.query_params.get("cursor") or fields["cursor"]}

    def post(self, request: Request) -> HttpResponseBase:
        page, next_cursor = self.page(self.clean(request))
        if next_cursor is None:
            return Answer(self.shown(page))
        url = request.build_absolute_uri(request.path)
        link = f'<{url}?cursor={next_cursor}>; rel="next"'
        headers = {"Qyvo-Next-Cursor": next_cursor, "Link": link}
        return Answer(self.shown(page), headers=headers)
