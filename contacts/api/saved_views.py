"""The action that lists the saved views of the admin: the shapes of its body and answer."""

from typing import cast

from rest_framework import serializers
from rest_framework.request import Request

from contacts.models import SavedView
from contacts.values.folding import finder
from tenants.answers import Answer
from tenants.models import ApiToken

from .actions import ActionView, Scope
from .lookup import FieldsInput


class ShownView(serializers.Serializer):
    """One view in the answer of list-views."""

    id = serializers.CharField()
    name = serializers.CharField()
    filter = serializers.DictField(help_text="Send it as `filter` as it is.")
    shared = serializers.BooleanField(
        source="is_shared", help_text="Whether all users of the tenant see the view."
    )


class ListViews(ActionView):
    """Lists the views that people have saved in the admin: those of the user of the token, and
    those that are shared. Each has its `filter`, as other actions and exports take it. `name`: a
    part of the name, compared as names in search-contacts.
    """

    scopes = (Scope.READ,)
    input_class = FieldsInput
    output_class = ShownView
    is_list = True

    def post(self, request: Request) -> Answer:
        user = cast("ApiToken", request.auth).user
        is_in = finder(self.clean(request)["name"])
        views = SavedView.objects.filter(tenant=self.tenant).seen_by(user).order_by("name", "pk")
        return self.answer([view for view in views if is_in(view.name)])
