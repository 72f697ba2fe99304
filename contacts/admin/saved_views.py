"""Saved views in the admin: the filters of the list of contacts under a name, in the menu.

A view has the `filter` of the API, and a link to the list with the same filters: the list, its bulk
actions and its exports need to know nothing of views.
"""

from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext
from django.views.decorators.http import require_POST

from contacts.change_log.cause import actor_of, actor_of_user
from contacts.finding import filters, saved_views
from contacts.finding.saved_views import MAX_VIEWS
from contacts.models import MAX_VIEW_NAME, SavedView
from contacts.values import rules
from tenants.admin import TenantForm, TenantOwnedRetryAdmin, save_changed, user_of
from tenants.fields import is_ulid
from tenants.models import Tenant

from .bulk import ActionList
from .contact_filters import FilterForm
from .contact_list import VIEW
from .field_filters import PREFIX
from .forms import RuleFormField

NO_FILTER = gettext_noop(
    "Choose filters first, then “Save this view”. A view does not keep the search."
)
NO_TENANT = gettext_noop("Filter the list by one tenant first: a view belongs to one tenant.")
OTHER_TENANT = gettext_noop(
    "Filter the list by the tenant “%(tenant)s”: the view belongs to this tenant."
)
TOO_MANY_SHARED = gettext_noop("There are %(count)s shared views already. Delete one first.")
TOO_MANY_OWN = gettext_noop("There are %(count)s own views already. Delete one first.")
# htmx puts the counts in the place of the elements with the same ids, which the menu has.
COUNT = '<span id="view-{}" class="view-count" hx-swap-oob="true">{}</span>'


class ViewForm(TenantForm):
    """`given`: the filter of a new view, for which `tenant` is the tenant of the list."""

    actor = ""  # set by `SavedViewAdmin.get_form`
    given: dict[str, Any] = {}

    name = RuleFormField(
        partial(rules.limited, "name", most=MAX_VIEW_NAME), label=gettext_lazy("Name")
    )

    class Meta:
        model = SavedView
        fields = ["name", "is_shared"]
        help_texts = {
            "is_shared": gettext_lazy("Everybody of your tenant sees the view, in the menu too.")
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance._state.adding:
            self.instance.actor, self.instance.filter = self.actor, self.given

    def clean_name(self) -> str:
        if not (name := self.cleaned_data["name"]):
            raise forms.ValidationError(_("Enter a name."))
        if self.others().filter(actor=self.instance.actor, name=name).exists():
            raise forms.ValidationError(_("There is a view “%(name)s” already.") % {"name": name})
        return name

    def clean_is_shared(self) -> bool:
        is_shared: bool = self.cleaned_data["is_shared"]
        same = self.others().filter(is_shared=is_shared)
        if not is_shared:
            same = same.filter(actor=self.instance.actor)
        if same[:MAX_VIEWS].count() == MAX_VIEWS:
            sentence = _(TOO_MANY_SHARED) if is_shared else _(TOO_MANY_OWN)
            raise forms.ValidationError(sentence % {"count": MAX_VIEWS})
        return is_shared

    def others(self) -> QuerySet[SavedView]:
        return SavedView.objects.filter(tenant=self.instance.tenant_id).exclude(pk=self.instance.pk)


class ViewList(ActionList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        for view in self.result_list:
            view.address = address(request, view)


@admin.register(SavedView)
class SavedViewAdmin(TenantOwnedRetryAdmin):
    """The views of the user, and the shared ones. They are saved from the list of contacts."""

    form = ViewForm
    list_display = ["name", "is_shared", "by", "contacts"]
    fields = ["name", "is_shared"]
    ordering = ["name", "pk"]
    show_full_result_count = False
    change_form_outer_before_template = "admin/contacts/savedview/filters.html"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ViewList]:
        return ViewList

    # Who may do what

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        return rows.seen_by(user_of(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return user_of(request).has_perm("contacts.view_contact")

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = user_of(request)
        return self.has_view_permission(request) and bool(user.is_superuser or user.tenant_id)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, "contacts.change_savedview")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, "contacts.delete_savedview")

    def may(self, request: HttpRequest, view: Any, right: str) -> bool:
        """Everybody may change the own views. `right`: the permission for those of others."""
        user = user_of(request)
        is_own = view is None or view.actor == actor_of_user(user.pk)
        return self.has_view_permission(request, view) and (is_own or user.has_perm(right))

    # Saving

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form for a new view. The parameter `list` is the query string of the list."""
        query = request.GET.get("list", "")
        if problem := self.problem_of(request, self.filter_form(request, query)):
            return self.back_to_list(request, query, problem)
        return super().add_view(request, form_url, extra_context)

    def filter_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Gives the view the filters of the list. The form has the query string of the list."""
        view = self.get_object(request, pk)
        if view is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        if not self.has_change_permission(request, view):
            raise PermissionDenied
        query = request.POST.get("list", "").removeprefix("?")
        form = self.filter_form(request, query)
        problem = self.problem_of(request, form)
        if not problem and self.tenant_of(request, form) != view.tenant:
            problem = _(OTHER_TENANT) % {"tenant": view.tenant}
        if problem:
            return self.back_to_list(request, query, problem)
        view.filter, view.counted, view.counted_at = filter_of(form), None, None
        view.save(update_fields=["filter", "counted", "counted_at"])
        self.log_change(request, view, gettext_noop("Filter changed."))
        sentence = _("The view “%(view)s” has these filters now.") % {"view": view}
        self.message_user(request, sentence)
        return HttpResponseRedirect(address(request, view))

    def back_to_list(self, request: HttpRequest, query: str, problem: str) -> HttpResponse:
        self.message_user(request, problem, messages.ERROR)
        return HttpResponseRedirect(f"{list_of_contacts()}?{query}")

    def problem_of(self, request: HttpRequest, form: FilterForm) -> str:
        """Why the filters of the list cannot be saved; empty if they can."""
        if not form.is_valid():
            return " ".join(form.problems())
        try:
            given = filter_of(form)
        except ValueError as error:
            # `why`: a sentence.
            sentence = _("The API does not have this filter, so it cannot be saved. %(why)s")
            return sentence % {"why": error}
        if not given:
            return _(NO_FILTER)
        return "" if self.tenant_of(request, form) else _(NO_TENANT)

    def filter_form(self, request: HttpRequest, query: str) -> FilterForm:
        return FilterForm(QueryDict(query).dict(), request, self.admin_site)

    def tenant_of(self, request: HttpRequest, form: FilterForm) -> Tenant | None:
        is_superuser = request.user.is_superuser
        return form.cleaned_data["tenant"] if is_superuser else user_of(request).tenant

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **options)
        listed = self.filter_form(request, request.GET.get("list", ""))
        if obj is None and listed.is_valid():
            form.actor, form.given = actor_of(request), filter_of(listed)
            form.tenant = self.tenant_of(request, listed)
        return form

    def save_model(self, request: HttpRequest, obj: SavedView, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
        else:
            obj.save()

    def response_add(
        self, request: HttpRequest, obj: SavedView, post_url_continue: str | None = None
    ) -> HttpResponse:
        sentence = _("The view “%(view)s” is saved. It is in the menu.") % {"view": obj}
        self.message_user(request, sentence)
        return HttpResponseRedirect(address(request, obj))

    # What a view shows

    @admin.display(description=gettext_lazy("saved by"), ordering="actor")
    def by(self, view: Any) -> str:
        return view.who.text

    @admin.display(description=gettext_lazy("Contacts"))
    def contacts(self, view: Any) -> str:
        return format_html('<a class="plain" href="{}">{}</a>', view.address, _("Show"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        view, query = options.get("obj"), request.GET.get("list", "")
        if view:
            query = urlencode(parameters(request, view) or {})
            may_change = self.has_change_permission(request, view)
            shown = {
                "address": address(request, view),
                "change_address": f"{list_of_contacts()}?{urlencode({VIEW: view.pk})}&{query}"
                if may_change
                else "",
                "filter": rules.spelled(view.filter),
            }
            context |= shown
        listed = self.filter_form(request, query)
        context |= {
            "listed": listed,
            "filters": [text for text, _names in listed.active()],
            "search": QueryDict(query).get(SEARCH_VAR, ""),
        }
        return super().render_change_form(request, context, *args, **options)

    # The menu

    def group(self, request: HttpRequest) -> dict[str, Any]:
        """The group of the menu with the views. The browser loads their counts after the page."""
        counts = reverse("admin:contacts_savedview_counts")
        html = '{}<span hidden hx-get="{}" hx-trigger="load" hx-swap="none"></span>'
        current = self.current(request)
        items = [entry(request, view) | {"active": view is current} for view in self.menu(request)]
        title = format_html(html, pgettext("saved filters", "Views"), counts)
        return {"title": title, "items": items}

    def menu(self, request: HttpRequest) -> list[SavedView]:
        """The views in the menu; of superusers, who see all tenants, only the own views."""
        kept = vars(request)  # a page asks several times
        if "saved_views" not in kept:
            rows = self.get_queryset(request).select_related("tenant")
            if request.user.is_superuser:
                rows = rows.filter(actor=actor_of(request))
            kept["saved_views"] = [*rows.order_by("name", "pk")[: 2 * MAX_VIEWS]]
        return kept["saved_views"]

    def current(self, request: HttpRequest) -> SavedView | None:
        """The view that the list shows."""
        if request.path != list_of_contacts():
            return None
        given = {name: value for name, value in request.GET.items() if value}
        shown = {name: given[name] for name in given if is_filter(name)}
        views = (view for view in self.menu(request) if parameters(request, view) == shown)
        return next(views, None) if shown else None

    def edited(self, request: HttpRequest) -> SavedView | None:
        """The view that the parameter `VIEW` of the list names, if the user may change it."""
        pk = request.GET.get(VIEW, "")
        view = self.get_queryset(request).filter(pk=pk).first() if is_ulid(pk) else None
        return view if view and self.has_change_permission(request, view) else None

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        change = wrap(require_POST(self.filter_view))
        return [
            path("counts/", wrap(self.counts_view), name="contacts_savedview_counts"),
            path("<str:pk>/filter/", change, name="contacts_savedview_filter"),
            *super().get_urls(),
        ]

    def counts_view(self, request: HttpRequest) -> HttpResponse:
        """The counts of the views in the menu, for htmx, which puts each in its place."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found: dict[str, saved_views.Count] = {}
        views = sorted(self.menu(request), key=attrgetter("tenant_id"))
        for _tenant, own in groupby(views, attrgetter("tenant_id")):
            some = [*own]
            found |= saved_views.counts(some[0].tenant, some)
        return HttpResponse(format_html_join("\n", COUNT, found.items()))


def list_of_contacts() -> str:
    return reverse("admin:contacts_contact_changelist")


def is_filter(name: str) -> bool:
    return name in FilterForm.base_fields or name.startswith(PREFIX)


def filter_of(form: FilterForm) -> dict[str, Any]:
    """The filters of the list as the API takes them. Raises `ValueError` if it does not."""
    if used := [one.row.label for one in form.defined if one.is_used(form.cleaned_data)]:
        sentence = _("Remove the filter by “%(field)s”; the filter by a metadata key can stay.")
        raise ValueError(sentence % {"field": used[0]})
    given = filters.in_json(filters.with_names(filters.of_form(form.cleaned_data)))
    filters.check(given)
    return given


def parameters(request: HttpRequest, view: SavedView) -> dict[str, str] | None:
    """The parameters of the list that shows the contacts of the view; None if it has none."""
    try:
        found = filters.to_form(filters.check(view.filter))
    except ValueError:
        return None
    return found | ({"tenant": view.tenant_id} if user_of(request).is_superuser else {})


def address(request: HttpRequest, view: SavedView) -> str:
    """The list with the filters of the view, or else the page of the view, which says why not."""
    found = parameters(request, view)
    if found is None:
        return reverse("admin:contacts_savedview_change", args=[view.pk])
    return f"{list_of_contacts()}?{urlencode(found)}"


def entry(request: HttpRequest, view: SavedView) -> dict[str, Any]:
    """The entry of the menu. The theme takes the title for HTML."""
    title = '<span class="view-name" title="{0}" dir="auto">{0}</span> {1}'
    return {
        "title": format_html(title, view.name, format_html(COUNT, view.pk, "")),
        "icon": "group" if view.is_shared else "bookmark",
        "link": address(request, view),
    }
