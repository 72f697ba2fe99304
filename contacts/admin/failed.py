"""The page of the jobs that have failed, with the reasons, and a button that tries one again."""

from collections.abc import Collection
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from contacts.jobs.failed import AnyJob, can_be_retried, failed, retry
from contacts.jobs.turns import left_alone
from contacts.models import BulkAction, Export, Import
from tenants.admin import user_of

LATEST = 100  # failed jobs of each model that the page shows
GONE = gettext_noop("This job no longer exists.")
NOT_STOPPED = gettext_noop("This job has not stopped, or somebody has retried it already.")
LEFT = gettext_noop("Its worker was killed, and no other worker goes on with the job.")
RETRIED = gettext_noop("The job is in the queue again.")
MODELS: dict[str, type[AnyJob]] = {"import": Import, "export": Export, "bulk": BulkAction}
Kind = BulkAction.Kind

# What a user needs to retry a job: as much as to start one.
ADD, CHANGE, DELETE = (f"contacts.{verb}_contact" for verb in ("add", "change", "delete"))
NEEDED: dict[type[AnyJob], list[str]] = {
    Import: ["contacts.add_import"],
    Export: ["contacts.view_contact"],
    BulkAction: [CHANGE],
}
OF_ACTIONS: dict[str, list[str]] = {
    Kind.DELETE: [DELETE],
    Kind.UNDO: [ADD, CHANGE, DELETE],
    Kind.MERGE_PAIRS: [CHANGE, DELETE],
    Kind.RENAME_TAG: ["contacts.change_tag"],
    Kind.MERGE_TAGS: ["contacts.change_tag", "contacts.delete_tag"],
    Kind.DELETE_TAGS: ["contacts.delete_tag"],
}
# Actions that the page asks about once more. `UPDATE` may opt people out.
ASKED = {Kind.UPDATE, Kind.OPT_OUT, Kind.DELETE, Kind.MERGE_PAIRS, Kind.UNDO}


class FailedJob(NamedTuple):
    """A row of the page. `what`: the file, the format or the action. `may_retry`: whether the user
    may have it tried again, and it can be."""

    job: AnyJob
    kind: str
    label: str
    may_retry: bool

    @property
    def started_at(self) -> datetime:
        return self.job.started_at

    @property
    def link(self) -> str:
        return address_of(self.job)

    @property
    def problem(self) -> str:
        """As it is stored, in English: the pages translate it."""
        return self.job.problem or LEFT

    @property
    def is_asked(self) -> bool:
        return isinstance(self.job, BulkAction) and self.job.kind in ASKED


def address_of(job: AnyJob) -> str:
    return reverse(f"admin:contacts_{job._meta.model_name}_change", args=[job.pk])


def admin_of(model: type[AnyJob]) -> Any:
    return admin.site.get_model_admin(model)


def visible(request: HttpRequest) -> list[str]:
    """The kinds of jobs that the user may see."""
    return [kind for kind, model in MODELS.items() if admin_of(model).has_view_permission(request)]


def number(request: HttpRequest) -> int:
    """How many failed jobs the user may see, by one statement."""
    found = [jobs_of(request, MODELS[kind]).order_by().values("pk") for kind in visible(request)]
    return Import.objects.none().values("pk").union(*found, all=True).count()


def jobs_of(request: HttpRequest, model: type[AnyJob], left: Collection[str] = ()) -> QuerySet:
    return failed(admin_of(model).get_queryset(request), left)


def rows(request: HttpRequest) -> list[FailedJob]:
    """The failed jobs that the user may see, the latest first."""
    left = left_alone()
    found = [
        row_of(request, kind, job, left)
        for kind in visible(request)
        for job in latest_of(jobs_of(request, MODELS[kind], left))
    ]
    return sorted(found, key=attrgetter("started_at"), reverse=True)


def latest_of(jobs: QuerySet) -> QuerySet:
    return jobs.select_related("tenant").order_by("-pk")[:LATEST]


def row_of(request: HttpRequest, kind: str, job: AnyJob, left: Collection[str]) -> FailedJob:
    needed = NEEDED[type(job)]
    if isinstance(job, BulkAction):
        needed = OF_ACTIONS.get(job.kind, needed)
    may_retry = can_be_retried(job, left) and user_of(request).has_perms(needed)
    return FailedJob(job, kind, capfirst(str(job._meta.verbose_name)), may_retry)


def list_view(request: HttpRequest) -> HttpResponse:
    if not visible(request):
        raise PermissionDenied
    context = {"rows": rows(request), "title": _("Failed jobs"), "latest": LATEST}
    return page(request, "list", context)


def retry_view(request: HttpRequest, kind: str, pk: str) -> HttpResponse:
    """Asks whether to retry the job, and does it."""
    if kind not in MODELS:
        raise Http404
    if kind not in visible(request):
        raise PermissionDenied
    job = admin_of(MODELS[kind]).get_object(request, unquote(pk))
    if job is None:
        messages.warning(request, _(GONE))
        return HttpResponseRedirect(reverse("admin:failed_jobs"))
    left = left_alone()
    row = row_of(request, kind, job, left)
    if can_be_retried(job, left) and not row.may_retry:
        raise PermissionDenied
    if request.method == "POST" or not row.may_retry:
        return retried(request, job, left)
    title = _("Retry: %(job)s") % {"job": job}
    return page(request, "retry", {"row": row, "title": title})


def retried(request: HttpRequest, job: AnyJob, left: Collection[str]) -> HttpResponse:
    if not retry(job, left):
        messages.warning(request, _(NOT_STOPPED))
        return HttpResponseRedirect(reverse("admin:failed_jobs"))
    with override(None):  # the log is English, and has the name of the job
        admin_of(type(job)).log_change(request, job, gettext_noop("Retried."))
    messages.success(request, _(RETRIED))
    return HttpResponseRedirect(address_of(job))


def page(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    shared = admin.site.each_context(request)
    return TemplateResponse(request, f"admin/contacts/failed/{name}.html", shared | context)


def urls() -> list[URLPattern]:
    wrap: Any = admin.site.admin_view
    return [
        path("failed-jobs/", wrap(list_view), name="failed_jobs"),
        path("failed-jobs/<str:kind>/<str:pk>/", wrap(retry_view), name="retry_job"),
    ]
