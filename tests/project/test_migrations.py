"""During a deploy the version before runs on the tables of the one after: migrations let it.

What it reads stays, and rows that it writes are accepted. A field goes in two deploys: first no
version uses it any more (`SeparateDatabaseAndState`), then its column is dropped.
"""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.utils import timezone
from django.utils.module_loading import import_string
from django_tasks_db.models import DBTaskResult

from contacts.importing.uploads import run_import
from contacts.jobs.bulk_actions import run_bulk_action
from contacts.models import BulkAction
from tests.support.paths import ROOT

pytestmark = pytest.mark.both

# The last of each app that may do anything: no version was deployed before it.
FIRST_VERSION = {"contacts": "0011_import_drafts", "tenants": "0004_token_rotation"}
# (app, migration) -> why its breaks do no harm, such as “no version since 0012 reads the column”.
SECOND_STEPS: dict[tuple[str, str], str] = {}
BREAKS = (
    migrations.RemoveField, migrations.RenameField, migrations.RenameModel,
    migrations.DeleteModel, migrations.AlterModelTable, migrations.AddConstraint,
    migrations.AlterUniqueTogether, migrations.RunSQL,
)  # fmt: skip


def can_be_left_out(field: models.Field) -> bool:
    """Whether the database fills the column where an INSERT does not name it."""
    return field.null or field.has_db_default() or field.generated or field.many_to_many is True


def accepts_less(before: models.Field, after: models.Field) -> bool:
    """Whether a value that fits the one may not fit the other."""
    is_narrower = (after.max_length or 10**9) < (before.max_length or 10**9)
    is_required = before.null and not after.null
    is_unique = after.unique and not before.unique
    return is_narrower or is_required or is_unique or (
        before.get_internal_type() != after.get_internal_type()
    )  # fmt: skip


def breaks(operation: Any, app: str, state: ProjectState) -> bool:
    """Whether the version before would fail on what `operation` makes of the tables of `state`."""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return any(breaks(each, app, state) for each in operation.database_operations)
    if isinstance(operation, migrations.AddField):
        return not can_be_left_out(operation.field)
    if isinstance(operation, migrations.AlterField):
        before = state.models[app, operation.model_name_lower].fields[operation.name]
        return accepts_less(before, operation.field)
    return isinstance(operation, BREAKS)


def broken_by(migration: Any, state: ProjectState) -> list[str]:
    """What it does that the version before does not bear. `state` is moved behind it."""
    found = []
    made: set[str] = set()  # tables that the version before does not know
    for operation in migration.operations:
        if isinstance(operation, migrations.CreateModel):
            made.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", "") not in made and breaks(
            operation, migration.app_label, state
        ):
            found.append(operation.describe())
        operation.state_forwards(migration.app_label, state)
    return found


def test_the_version_before_runs_on_the_tables_of_every_new_migration() -> None:
    loader = MigrationLoader(None)
    broken = {}
    for (app, name), migration in loader.disk_migrations.items():
        if name > FIRST_VERSION.get(app, "9999") and (app, name) not in SECOND_STEPS:
            before = loader.project_state((app, name), at_end=False)
            broken[app, name] = broken_by(migration, before)
    assert not any(broken.values()), broken


def test_every_app_with_migrations_is_looked_at() -> None:
    ours = {config.label for config in apps.get_app_configs() if Path(config.path).parent == ROOT}
    assert ours & MigrationLoader(None).migrated_apps == {*FIRST_VERSION}


TEXT = models.CharField(max_length=10)
CHECK = models.CheckConstraint(condition=~models.Q(name=""), name="named")


@pytest.mark.parametrize(
    ("operation", "is_broken"),
    [
        (migrations.RemoveField("tag", "name"), True),
        (migrations.RenameField("tag", "name", "title"), True),
        (migrations.RenameModel("tag", "label"), True),
        (migrations.DeleteModel("tag"), True),
        (migrations.AddConstraint("tag", CHECK), True),
        (migrations.RunSQL("DROP TABLE contacts_tag"), True),
        (migrations.AddField("tag", "note", models.CharField(max_length=9, default="")), True),
        (migrations.AddField("tag", "note", models.CharField(max_length=9, db_default="")), False),
        (migrations.AddField("tag", "note", models.CharField(max_length=9, null=True)), False),
        (migrations.AlterField("tag", "name", TEXT), True),
        (migrations.AlterField("tag", "name", models.CharField(max_length=200)), False),
        (migrations.AlterField("tag", "name", models.IntegerField()), True),
        (migrations.AlterField("contact", "last_message_at", models.DateTimeField()), True),
        (migrations.AddIndex("tag", models.Index(fields=["name"], name="by_name")), False),
        (migrations.RemoveConstraint("tag", "tag_name"), False),
    ],
    ids=lambda value: value.describe() if hasattr(value, "describe") else "",
)
def test_what_the_version_before_does_not_bear_is_found(operation: Any, is_broken: bool) -> None:
    state = MigrationLoader(None).project_state(("contacts", FIRST_VERSION["contacts"]))
    made = type("Migration", (migrations.Migration,), {"operations": [operation]})
    assert bool(broken_by(made("0012_example", "contacts"), state)) is is_broken


def test_tasks_in_the_queue_find_their_functions_after_the_modules_were_moved(db: None) -> None:
    migration = import_module("contacts.migrations.0016_task_paths")
    editor = SimpleNamespace(connection=connection)
    tasks: list[Any] = [
        DBTaskResult(task_path=old, args_kwargs={}, run_after=timezone.now())
        for old in migration.MOVED
    ]
    DBTaskResult.objects.bulk_create(tasks)
    migration.rename(apps, editor)
    paths = DBTaskResult.objects.values_list("task_path", flat=True)
    assert {import_string(path) for path in paths} == {run_bulk_action, run_import}
    migration.rename_back(apps, editor)
    assert {*paths.all()} == {*migration.MOVED}


def test_dry_runs_that_the_version_before_has_planned_stay_dry_runs(acme: SimpleNamespace) -> None:
    """Before 0036, the value of such an undo was JSON."""
    migration = import_module("contacts.migrations.0036_bulk_dry_run")
    editor = SimpleNamespace(connection=connection)
    value = '{"change_set": "01J1YAAAAAAAAAAAAAAAAAAAAA", "dry_run": true}'
    action = BulkAction.objects.create(tenant=acme.tenant, kind="undo", value=value, total=0)
    migration.read_values(apps, editor)
    action.refresh_from_db()
    assert (action.dry_run, str(action)) == (True, "Undo: 01J1YAAAAAAAAAAAAAAAAAAAAA (dry run)")
    migration.write_values(apps, editor)
    action.refresh_from_db()
    assert action.value == value
