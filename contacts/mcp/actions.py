"""What some tools do besides their actions: several tags at once, trying a change out, and the
progress of a bulk action."""

from typing import Any, cast

from django.db import transaction
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

from contacts.api import contacts
from contacts.api.actions import ActionView, Scope
from contacts.api.bulk_actions import BulkJob
from contacts.api.fields import FLAG, ID, TAGS, RuleField, Schema
from contacts.db.transactions import transactional
from contacts.models import Contact
from contacts.values import rules
from contacts.writing import tags
from tenants.answers import Answer

DRY_RUN: Schema = FLAG | {"description": "Answer what would be done, and change nothing."}


class TagsOfContact(contacts.ContactKey):
    """The inputs of tag_contact."""

    add_tags = RuleField(rules.tags, TAGS)
    remove_tags = RuleField(rules.tags, TAGS)


class TagContact(ActionView):
    """Adds tags to a contact and removes others, all or none."""

    scopes = (Scope.WRITE,)
    input_class = TagsOfContact
    output_class = contacts.UpdatedContact

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        return self.answer(
            self.with_contact(fields.pop("key"), lambda key: self.tag(key, **fields))
        )

    @transactional
    def tag(self, key: dict[str, str], add_tags: list[str], remove_tags: list[str]) -> Contact:
        tags.remove_tags(self.tenant, key, *remove_tags)
        return tags.add_tags(self.tenant, key, *add_tags)


class DeleteContact(contacts.DeleteContact):
    """With `dry_run`, it runs, and its transaction is rolled back."""

    def post(self, request: Request) -> Answer:
        if not self.is_dry_run(request):
            return super().post(request)
        with transaction.atomic():
            response = super().post(request)
            transaction.set_rollback(True)
        return Answer(response.data | {"dry_run": True})

    def is_dry_run(self, request: Request) -> bool:
        body: dict[str, Any] = cast("Any", request.data)
        try:
            return rules.flag(body.get("dry_run"))
        except ValueError as error:
            raise ValidationError({"dry_run": [str(error)]}) from error


class BulkActionKey(serializers.Serializer):
    """The input of get_bulk_action."""

    change_set = RuleField(
        rules.change_set,
        ID | {"description": "As undo answered it, with null in restored."},
        required=True,
        error_messages={"required": "The change_set is required."},
    )


class GetBulkAction(ActionView):
    """The progress and the result of an undo that a worker does."""

    scopes = (Scope.READ,)
    input_class = BulkActionKey
    output_class = BulkJob

    def post(self, request: Request) -> Answer:
        found = self.tenant.bulk_actions.filter(pk=self.clean(request)["change_set"]).first()
        if found is None:
            raise NotFound("Bulk action not found")
        return self.answer(found)
