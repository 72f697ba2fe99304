"""Imports of several tenants that wait for one worker."""

from contacts.models import Import


def rows(first: int, number: int) -> str:
    """One record is bad, some phones repeat, and each name spans two lines."""
    found = [f'"+1415555{n % 97 + first:04}","Ann\n{n}",t{n % 3}' for n in range(number)]
    found[number // 2] = "bad,Bob,"
    return "\n".join(["phone,name,tags", *found])


def states() -> dict[str, str]:
    return dict(Import.objects.values_list("tenant__slug", "state"))


def finished() -> list[str]:
    """The imports that are over, in the order in which they ended."""
    over = Import.objects.exclude(finished_at=None)
    return list(over.order_by("finished_at").values_list("pk", flat=True))
