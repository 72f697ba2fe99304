"""One small class per action."""

from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from django.http import FileResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.urls import reverse
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from tenants.isolation import seeing
from tenants.models import ApiToken
from tenants.views import TenantAPIView

from . import cursors, serializers, uploads
from .changes import Place
from .columns import UnknownColumn
from .models import Contact, CountedTag, Decision, Import, Outcome, Tag, contact_is_there
from .parsers import FILE_PARSERS
from .rules import RuleBroken
from .tabular import UnreadableFile
from .webhooks import Webhook

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
        show = serializers.shared(self.output_class).to_representation
        data = [*map(show, result)] if self.is_list else show(result)
        return Response(data, status=self.success, headers=headers)

    def clean(self, request: Request) -> dict[str, Any]:
        """The body's fields; raises `ValidationError`."""
        reader = serializers.shared(self.input_class, self.tenant.default_region)
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


class CreateContact(ActionView):
    """Upserts a contact by phone: 201 either way, and a header that tells which it was."""

    scopes = (Scope.WRITE,)
    input_class = serializers.ContactInput
    output_class = serializers.ContactSummary
    success = HTTPStatus.CREATED
    answer_headers = {"Qyvo-Result": "`created`, `updated` or `unchanged`."}

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        # Past `tenant.contacts`, which would first build the query that finds them all: 5 %.
        contact, _ = Contact.objects.update_or_create(
            tenant=self.tenant,
            phone=fields.pop("phone"),
            defaults=fields,
            create_defaults={"source": Contact.Source.API},
        )
        return self.answer(contact, **{"Qyvo-Result": contact.outcome})


class UpdateContact(ActionView):
    """Changes only what the body names; metadata is merged."""

    scopes = (Scope.WRITE,)
    input_class = serializers.ContactChanges
    output_class = serializers.UpdatedContact

    def post(self, request: Request) -> Response:
        changes = self.clean(request)
        key, contacts = changes.pop("key"), self.tenant.contacts
        changed = self.with_contact(key, lambda key: contacts.change_one(key, changes))
        return self.answer(changed)


class GetContact(ActionView):
    """All there is of one contact."""

    scopes = (Scope.READ,)
    input_class = serializers.ContactLookup
    output_class = serializers.ContactDetail

    def post(self, request: Request) -> Response:
        key, contacts = self.clean(request)["key"], self.tenant.contacts
        return self.answer(self.with_contact(key, lambda key: contacts.find(**key)))


class TagAction(ActionView):
    """What adding and removing a tag have in common; `done` is the answer's word for it."""

    scopes = (Scope.WRITE,)
    input_class = serializers.TagOfContact
    done: str

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        contact = self.with_contact(fields["key"], lambda key: self.act(key, fields["tag"]))
        head = {"id": contact.pk, "phone": contact.phone, "tags": contact.tags}
        return self.answer(head | {self.done: fields["tag"]})

    def act(self, key: dict[str, str], tag: str) -> Contact:
        raise NotImplementedError


class AddTag(TagAction):
    """Puts a tag on a contact; twice is once."""

    output_class = serializers.TagAdded
    done = "tag_added"

    def act(self, key: dict[str, str], tag: str) -> Contact:
        return self.tenant.contacts.add_tag(key, tag)


class RemoveTag(TagAction):
    """Takes a tag off a contact; the tag itself stays."""

    output_class = serializers.TagRemoved
    done = "tag_removed"

    def act(self, key: dict[str, str], tag: str) -> Contact:
        return self.tenant.contacts.remove_tag(key, tag)


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


class SearchContacts(PagedArray):
    """Contacts by a part of name, e-mail or phone, by tag, by e-mail; the latest message first.

    The answer is an array, so the cursor of the next page is in headers. The link can be posted
    to as it is, with the same body.
    """

    scopes = (Scope.READ,)
    input_class = serializers.SearchInput
    output_class = serializers.FoundContact
    order = "last_message_at"

    def find(self, after: Any, limit: int, filters: dict[str, Any]) -> list[Contact]:
        tag, region = self.tag(filters["tag"]), self.tenant.default_region
        return self.tenant.contacts.recent(after, limit, **filters | {"tag": tag, "region": region})


class ListContacts(PagedAction):
    """Everything, page by page, for a sync."""

    scopes = (Scope.READ,)
    input_class = serializers.ListInput
    output_class = serializers.ContactPage
    order = "updated_at"

    def post(self, request: Request) -> Response:
        page, next_cursor = self.page(self.clean(request))
        return self.answer({"data": page, "next_cursor": next_cursor})

    def find(self, after: Any, limit: int, filters: dict[str, Any]) -> list[Contact]:
        tag, since = self.tag(filters["tag"]), filters["updated_since"]
        found: list[Any] = self.tenant.contacts.page(after, limit, tag=tag, since=since)
        if filters["include_deleted"]:
            changes = self.tenant.changes.exclude(contact_is_there())
            gone = changes.tombstones(after, limit, since)
            found = sorted([*found, *gone], key=lambda entry: (entry.updated_at, entry.pk))[:limit]
        return found


class ListChanges(ActionView):
    """What has happened: to one contact, or to all of them since a cursor.

    `next_cursor` is where to go on, also when there is nothing more yet: ask again with it, and
    no change is missed. A change shows when every transaction that began before it has ended.
    """

    scopes = (Scope.READ,)
    input_class = serializers.ChangesInput
    output_class = serializers.ChangePage

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        contact_ids = self.contact_ids(fields)
        scope = (self.tenant.pk, "changes", "".join(contact_ids[:1]))
        place = Place(*read_cursor(fields["cursor"], *scope) or ())
        if contact_ids:
            found = self.tenant.changes.of(contact_ids, place.id)
        else:
            found, place = self.tenant.changes.behind(place)
        page = list(found[: fields["limit"]])
        if contact_ids and not page and not fields["cursor"] and not self.knows(contact_ids[-1]):
            raise Contact.DoesNotExist
        if page:
            place = place._replace(xid=page[-1].xid, id=page[-1].pk)
        return self.answer({"data": page, "next_cursor": cursors.write(place, *scope)})

    def contact_ids(self, fields: dict[str, Any]) -> list[str]:
        """None for all. A contact that is gone has its history still, and then that of the one it
        has been merged into."""
        contact_id = fields["contact_id"]
        if not contact_id:
            phone = fields["phone"]
            return [self.tenant.contacts.find(phone=phone).pk] if phone else []
        found = [contact_id]
        while not self.knows(found[-1]):
            into = self.tenant.changes.merged_into(found[-1])
            if not into:
                break
            self.headers[MERGED_INTO] = into
            found.append(into)
        return found

    def knows(self, contact_id: str) -> bool:
        """Also those that are older than the log."""
        return self.tenant.contacts.filter(pk=contact_id).exists()


class ListTags(PagedArray):
    """The tenant's tags by name, each with the number of its contacts.

    Without `limit` the answer has all of them. With `limit`, the cursor of the next page is in
    headers, as in search-contacts.
    """

    # An answer of 50,000 tags takes a thread a third of a second, and sixteen at once would keep
    # all other requests waiting for seconds. So a long answer is made page by page, and each
    # process makes one page at a time.
    longest_page = 1000
    making_a_page = Lock()

    scopes = (Scope.READ,)
    input_class = serializers.TagSearch
    output_class = serializers.TagSummary
    order = "name"

    def post(self, request: Request) -> HttpResponseBase:
        fields = self.clean(request)
        if fields["limit"]:
            return super().post(request)
        part = fields["name"]
        page, next_cursor = self.page(fields | {"limit": self.longest_page})
        if next_cursor is None:
            return self.answer(page)
        return StreamingHttpResponse(self.array(page, part), content_type="application/json")

    def array(self, page: list[CountedTag], part: str) -> Iterator[bytes]:
        """The JSON array of the tags in `page` and of all behind them. A tag that gets another name
        while the answer is sent may be missing, or be in it under both names."""
        show, start = serializers.shared(self.output_class).to_representation, b"["
        while page:
            yield start + JSONRenderer().render([*map(show, page)])[1:-1]
            start = b","
            with self.making_a_page, seeing(self.tenant.pk):
                page = self.tenant.tags.page(page[-1].name, self.longest_page, part)
        yield b"]"

    def find(
        self, after: cursors.Position | None, limit: int, filters: dict[str, Any]
    ) -> list[CountedTag]:
        return self.tenant.tags.page(after[0] if after else "", limit, filters["name"])

    def position(self, row: CountedTag) -> cursors.Position:
        return (row.name,)


class RecordConsent(ActionView):
    """Records that a person has opted in or out; the latest decision by its own time counts.

    One that is older than that is recorded, and changes nothing.
    """

    scopes = (Scope.WRITE,)
    input_class = serializers.ConsentInput
    output_class = serializers.Consent

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        key, contacts = fields.pop("key"), self.tenant.contacts
        decision = Decision(**fields)
        return self.answer(self.with_contact(key, lambda key: contacts.decide_one(key, decision)))


class DeleteContact(ActionView):
    """Deletes a contact for good; its tags stay."""

    scopes = (Scope.DELETE,)
    input_class = serializers.ContactKey
    output_class = serializers.DeletedContact

    def post(self, request: Request) -> Response:
        key = self.clean(request)["key"]
        contact = self.with_contact(key, self.tenant.contacts.delete_one)
        return self.answer({"id": contact.pk, "phone": contact.phone, "deleted": True})


class CreateContacts(ActionView):
    """Upserts up to 1,000 contacts; a bad row fails alone, of a phone's rows the last wins."""

    scopes = (Scope.WRITE,)
    input_class = serializers.BatchInput
    output_class = serializers.BatchAnswer
    max_body_bytes = 8 * 1024 * 1024

    def post(self, request: Request) -> Response:
        rows = self.read_rows(self.clean(request)["contacts"])
        winners = {row["fields"]["phone"]: row for row in rows if "fields" in row}
        stored = self.tenant.contacts.replace_many(
            self.tenant, [row["fields"] for row in winners.values()], Contact.Source.API
        )
        for row in rows:
            if fields := row.pop("fields", None):
                phone = fields["phone"]
                outcome, pk = stored[phone]
                row["status"] = outcome if winners[phone] is row else "superseded"
                row |= {"id": pk, "phone": phone}
        counts = Counter(row["status"] for row in rows)
        counted = {status: counts[status] for status in [*Outcome.values, "failed"]}
        return Response(counted | {"results": rows})

    def read_rows(self, raw_rows: list[Any]) -> list[dict[str, Any]]:
        """A result for each row: with its clean `fields`, or failed and with its `errors`."""
        reader = serializers.shared(serializers.BatchRow, self.tenant.default_region)
        return [self.read_row(reader, index, raw) for index, raw in enumerate(raw_rows)]

    def read_row(self, reader: Serializer, index: int, raw: Any) -> dict[str, Any]:
        try:
            fields = reader.run_validation(raw)
        except ValidationError as error:
            errors = cast("dict[str, Any]", error.detail)
            ref = raw.get("ref") if isinstance(raw, dict) and "ref" not in errors else None
            result = {"status": "failed", "errors": errors}
        else:
            ref = fields.pop("ref")
            result = {"fields": fields}
        return {"index": index} | ({} if ref in (None, "") else {"ref": ref}) | result


# Imports


class NotFinished(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The import is not finished; ask again when its state is done."


class ImportView(TenantAPIView):
    """What the addresses of imports have in common."""

    scopes = (Scope.IMPORTS,)
    output_class = serializers.ImportJob
    answer_headers: dict[str, str] = {}

    def find(self, pk: str) -> Import:
        try:
            return self.tenant.imports.begun().with_counts().get(pk=pk)
        except (Import.DoesNotExist, ValueError):  # no such id, or no id at all
            raise NotFound("Import not found") from None


class CreateImport(ImportView):
    """Brings contacts from a CSV or NDJSON file, either of them gzipped, in the background.

    The file is the body, or the field `file` of a form; what is said of it stands in the address or
    in the form. Columns are known by common names. A blank cell leaves its field alone, a bad
    record fails alone.
    """

    http_method_names = ["post"]
    parser_classes = FILE_PARSERS
    input_class = serializers.ImportForm
    query_class = serializers.ImportOptions
    success = HTTPStatus.ACCEPTED
    answer_headers = {"Location": "Where the import tells how far it is."}

    def post(self, request: Request) -> Response:
        try:
            job = self.receive(request, self.clean(request))
        except UnknownColumn as error:
            raise ValidationError({"map": [str(error)]}) from error
        except UnreadableFile as error:
            raise ValidationError({"file": [str(error)]}) from error
        finally:
            for file in request.FILES.values():
                file.close()  # which deletes it, unless it was moved
        where = reverse("get-import", args=[job.pk])
        data = self.output_class(self.find(job.pk)).data
        return Response(data, status=self.success, headers={"Location": where})

    def receive(self, request: Request, options: dict[str, Any]) -> Import:
        file = options.pop("file")
        job = Import(
            tenant=self.tenant,
            actor=cast("ApiToken", request.auth).actor,
            file_name=options.pop("file_name") or file.name,
            dry_run=options.pop("dry_run"),
            options=options,
        )
        uploads.store(job, file)
        uploads.queue(job)
        return job

    def clean(self, request: Request) -> dict[str, Any]:
        """What the address and the form say, the form last."""
        given = QueryDict(mutable=True)
        given.update(request.query_params)
        given.update(request.data)
        body = self.input_class(data=given.dict() | {"map": given.getlist("map")})
        body.is_valid(raise_exception=True)
        return body.validated_data


class GetImport(ImportView):
    """How far an import is, and what became of the records."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        return Response(self.output_class(self.find(id)).data)


class GetImportErrors(ImportView):
    """The records that failed, as a CSV: as they came, with `line` and `error`.

    Mended, it can be imported as it is.
    """

    http_method_names = ["get", "head"]

    def get(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        job = self.find(id)
        if not job.is_over:
            raise NotFinished
        try:
            return error_file(job)
        except FileNotFoundError:
            raise NotFound("Errors not found") from None


def error_file(job: Import) -> HttpResponseBase:
    """Raises `FileNotFoundError`."""
    if job.is_running:
        raise FileNotFoundError
    name = f"{Path(job.file_name).stem}.errors.csv"
    return FileResponse(
        uploads.errors_of(job).open("rb"),
        content_type="text/csv; charset=utf-8",
        filename=name,
        as_attachment=True,
    )


# Webhooks


class CreateWebhook:
    """Makes a webhook: an address that is told of what happens to contacts, from now on.

    Its secret is in this answer and nowhere else. A delivery `webhook.test` is sent at once. As
    it is told of contacts, it takes a token that may read them, too.
    """

    scopes = (Scope.READ, Scope.WRITE)
    input_class = serializers.WebhookInput
    output_class = serializers.NewWebhook
    success = HTTPStatus.CREATED


class ListWebhooks:
    """The tenant's webhooks."""

    scopes = (Scope.READ,)
    output_class = serializers.ShownWebhook


class GetWebhook:
    """A webhook, and whether it answers."""

    scopes = (Scope.READ,)
    output_class = serializers.ShownWebhook


class DeleteWebhook:
    """Deletes a webhook, and what still waits to be sent to it."""

    scopes = (Scope.WRITE,)
    success = HTTPStatus.NO_CONTENT


class Webhooks(TenantAPIView):
    http_method_names = ["get", "head", "post"]
    operations = {"GET": ListWebhooks, "POST": CreateWebhook}

    def get(self, request: Request) -> Response:
        found = self.tenant.webhooks.order_by("pk")
        return Response(ListWebhooks.output_class(found, many=True).data)

    def post(self, request: Request) -> Response:
        body = CreateWebhook.input_class(data=request.data)
        body.is_valid(raise_exception=True)
        made = Webhook(tenant=self.tenant, **body.validated_data)
        try:
            made.establish()
        except ValueError as error:
            raise ValidationError({"url": [str(error)]}) from error
        return Response(CreateWebhook.output_class(made).data, status=CreateWebhook.success)


class OneWebhook(TenantAPIView):
    http_method_names = ["get", "head", "delete"]
    operations = {"GET": GetWebhook, "DELETE": DeleteWebhook}

    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        return Response(GetWebhook.output_class(self.find(id)).data)

    def delete(self, request: Request, id: str) -> Response:  # noqa: A002
        self.find(id).delete()
        return Response(status=DeleteWebhook.success)

    def find(self, pk: str) -> Webhook:
        try:
            return self.tenant.webhooks.get(pk=pk)
        except (Webhook.DoesNotExist, ValueError):  # no such id, or no id at all
            raise NotFound("Webhook not found") from None
