"""What some tools do besides their actions: several tags at once, and trying a change out."""

from typing import Any

from django.db import transaction
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.api import contacts, merging
from contacts.api.actions import ActionView, Scope
from contacts.api.fields import FLAG, TAGS, RuleField, Schema
from contacts.db.transactions import transactional
from contacts.models import Contact
from contacts.values import rules
from contacts.writing import tags

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

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        return self.answer(
            self.with_contact(fields.pop("key"), lambda key: self.tag(key, **fields))
        )

    @transactional
    def tag(self, key: dict[str, str], add_tags: list[str], remove_tags: list[str]) -> Contact:
        contact = self.tenant.contacts.find(lock=True, **key)
        for name in remove_tags:
            contact = tags.remove_tag(self.tenant, key, name)
        for name in add_tags:
            contact = tags.add_tag(self.tenant, key, name)
        return contact


class Rehearsed(ActionView):
    """An action that can be tried out: with `dry_run`, it runs, and its transaction is rolled
    back."""

    def post(self, request: Request) -> Response:
        if not self.is_dry_run(request):
            return super().post(request)  # type: ignore[misc]
        with transaction.atomic():
            response: Response = super().post(request)  # type: ignore[misc]
            transaction.set_rollback(True)
        response.data |= {"dry_run": True}
        return response

    def is_dry_run(self, request: Request) -> bool:
        given: Any = request.data.get("dry_run")
        try:
            return rules.flag(given)
        except ValueError as error:
            raise ValidationError({"dry_run": [str(error)]}) from error


class DeleteContact(Rehearsed, contacts.DeleteContact):
    pass


class Undo(Rehearsed, merging.Undo):
    pass
