"""Imports go one way: qyvo → contacts → tenants, and inside an app from the doors to the rules."""

import ast
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

APPS = ["qyvo", "contacts", "tenants"]  # each may import those behind it
LAYERS = {
    "contacts": [
        {"apps"},
        {"admin", "management", "mcp"},
        {"api"},
        {"erasing"},
        {"exporting"},
        {"moving"},
        {"importing"},
        {"jobs"},
        {"webhooks"},
        {"finding", "writing"},
        {"models"},
        {"change_log"},
        {"db"},
        {"schema"},
        {"values"},
    ],
    "tenants": [
        {"apps", "admin", "urls", "management"},
        {"login_limits", "oauth"},
        {"authentication", "checks", "logins", "passwords", "views"},
        {"examples", "serializers", "throttling"},
        {"roles"},
        {"models"},
        {"isolation", "languages", "time_zones", "two_factor"},
        {"answers", "fields", "keys", "verbose_names"},
    ],
}
# The methods of models that call the write path, because Django, its admin or the user's own code
# calls them by these names. Each imports the verb when it is called.
FACES = {
    "contacts/models/contact.py": {
        "ContactQuerySet.update_or_create", "ContactQuerySet.delete", "Contact.save",
    },
    "contacts/models/tag.py": {"TagQuerySet.delete", "Tag.save"},
}  # fmt: skip
# What the ORM writes with.
ORM_WRITES = {
    "save", "create", "get_or_create", "update_or_create", "update", "delete", "bulk_create",
    "bulk_update",
}  # fmt: skip
# The methods of models that only call another method of the list above.
PASSED_ON = {"Contact.delete", "Tag.delete"}
# Rows of contacts, tags and links, as an expression begins or contains them.
WRITTEN_ROWS = re.compile(
    r"\b(Contact|Tag|ContactTag)\.objects\b|\b(contacts?|tags?|links)\b(?!\.own)"
)
# What only `contacts.db` may ask.
DATABASE_NAMES = {"vendor", "DIALECTS", "PostgreSQL", "PostgreSQL18", "SQLite", "pg_version"}


def modules(app: str) -> list[Path]:
    found = [path for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts]
    return sorted(path for path in found if path.name != "__init__.py")


def imports(path: Path) -> set[str]:
    """The modules that `path` imports, relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *filter(None, [node.module])])
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("app", APPS)
def test_apps_import_only_those_below_them(app: str) -> None:
    above = set(APPS[: APPS.index(app)]) | {"tests"}
    assert modules(app)
    for path in modules(app):
        assert not {name for name in imports(path) if name.split(".")[0] in above}, path


@pytest.mark.parametrize("app", LAYERS)
def test_inside_an_app_imports_go_down(app: str) -> None:
    layers = LAYERS[app]
    rank = {name: number for number, names in enumerate(layers) for name in names}
    for path in modules(app):
        own = path.relative_to(ROOT / app).parts[0].removesuffix(".py")
        assert own in rank, f"{path}: give the new module a layer"
        for name in imports(path):
            package, _, rest = name.partition(".")
            module = rest.split(".")[0]
            if package == app and module in rank and module != own:
                if module == "writing" and str(path.relative_to(ROOT)) in FACES:
                    continue  # see the next test
                assert rank[module] >= rank[own], f"{path} imports {name}"


def functions(tree: ast.AST) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", inner) for name, inner in functions(node))


def imports_writing(tree: ast.AST) -> int:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return sum((node.module or "").startswith("contacts.writing") for node in found)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "contacts/models").glob("*.py")), ids=attrgetter("name")
)
def test_models_call_the_write_path_in_the_named_methods_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    faces = {name for name, function in functions(tree) if imports_writing(function)}
    assert faces == FACES.get(str(path.relative_to(ROOT)), set())
    assert imports_writing(tree) == len(faces), "and nowhere else in the module"


def test_contacts_tags_and_links_are_written_by_the_write_path_only() -> None:
    for path in modules("contacts"):
        if path.relative_to(ROOT / "contacts").parts[0] == "writing":
            continue
        faces = FACES.get(str(path.relative_to(ROOT)), set()) | PASSED_ON
        for name, function in functions(ast.parse(path.read_text())):
            for call in orm_writes(function):
                assert name in faces, f"{path}: {name}: {call}"


def orm_writes(tree: ast.AST) -> list[str]:
    """The calls that write contacts, tags or links with the ORM, and not with a module of
    `contacts.writing`, which may be called `tags`."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    methods = ((call, call.func) for call in found if isinstance(call.func, ast.Attribute))
    return [
        ast.unparse(call)
        for call, method in methods
        if method.attr in ORM_WRITES
        and WRITTEN_ROWS.search(receiver := ast.unparse(method.value))
        and receiver not in {path.stem for path in (ROOT / "contacts/writing").glob("*.py")}
    ]


@pytest.mark.parametrize(
    "call",
    [
        "Contact.objects.filter(pk=pk).update(name='Ann')",
        "tenant.contacts.all().delete()",
        "contact.save()",
        "tag.links.all().delete()",
        "ContactTag.objects.bulk_create(found)",
    ],
)
def test_a_write_past_the_write_path_is_found(call: str) -> None:
    assert orm_writes(ast.parse(call))


def test_only_one_package_knows_which_database_it_is() -> None:
    for path in modules("contacts"):
        if path.relative_to(ROOT / "contacts").parts[0] == "db":
            continue
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", "")))
            assert name not in DATABASE_NAMES, f"{path}: {name}"
        assert not {f"contacts.db.{name}" for name in ("postgresql", "sqlite")} & imports(path), (
            path
        )
        assert not re.search(r"as_postgresql|as_sqlite|\"(postgresql|sqlite)\"", text), path


LOWEST = [
    f"contacts.values.{name}"
    for name in (
        "countries",
        "formulas",
        "numbering_plans",
        "phones",
        "strict_json",
        "translation",
    )
]


@pytest.mark.parametrize("module", LOWEST)
def test_the_lowest_layer_knows_no_framework(module: str) -> None:
    found = imports(ROOT / f"{module.replace('.', '/')}.py")
    roots = {name.split(".")[0] for name in found if not name.startswith(tuple(LOWEST))}
    assert not roots & {"django", "rest_framework", *APPS}


def test_only_the_verb_that_does_the_whole_calls_the_parts_of_erasing_a_person() -> None:
    """Whoever called one part would leave the person in the database, or in the files."""
    parts = {"contacts.writing.erase": "forget(", "contacts.importing.erasures": "erasures.erase(",
             "contacts.exporting.cleanup": "cleanup.erase("}  # fmt: skip
    for module, call in parts.items():
        callers = {path for path in modules("contacts") if call in path.read_text()}
        importers = {path for path in callers if module in imports(path)}
        assert importers == {ROOT / "contacts/erasing.py"}
