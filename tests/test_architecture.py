"""Imports go one way: qyvo → contacts → tenants, and inside an app from the doors to the rules."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ["qyvo", "contacts", "tenants"]  # each may import those behind it
LAYERS = {
    "contacts": [
        {"apps"},
        {"admin", "checks", "management"},
        {"api", "webhooks"},
        {"exporting"},
        {"importing"},
        {"jobs"},
        {"finding", "writing"},
        {"models"},
        {"change_log"},
        {"db"},
        {"schema"},
        {"values"},
    ],
    "tenants": [
        {"apps", "admin", "urls", "management"},
        {"login_limits"},
        {"authentication", "checks", "logins", "views"},
        {"examples", "serializers", "throttling"},
        {"roles"},
        {"models"},
        {"isolation", "two_factor"},
        {"fields"},
    ],
}


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
                assert rank[module] >= rank[own], f"{path} imports {name}"


@pytest.mark.parametrize(
    "module", [f"contacts/values/{name}.py" for name in ("countries", "phones", "strict_json")]
)
def test_the_lowest_layer_knows_no_framework(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(ROOT / module)}
    assert not roots & {"django", "rest_framework", *APPS}
