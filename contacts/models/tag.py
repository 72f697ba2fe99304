"""Tags, their links to contacts, and the questions that are asked about them."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.db import models
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan

from contacts.db.expressions import ByCodePoint
from contacts.values import rules
from contacts.values.folding import finder
from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from . import tag_counts
from .owned import Owned

NAMES_READ = 5000  # tags that are read at a time to find a part of a name
SMALL_RESULT = 2000  # contacts of a tag: up to so many are found by the tag, not in a list's order


class TagQuerySet(models.QuerySet["Tag"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Removes the tags from their contacts, then deletes them. The contacts stay."""
        from contacts.writing import tags

        return tags.delete(self)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def named_like(self, *parts: str) -> list["Tag"]:
        """The tags with each of `parts` in their name, as people type it (see `values.folding`), in
        the order of their characters.

        Compared and sorted here: databases do both differently, and no tenant has too many tags.
        """
        if max(map(len, parts)) > rules.MAX_TAG:
            return []
        finders = [*map(finder, parts)]
        found = [tag for tag in self.order_by() if all(is_in(tag.name) for is_in in finders)]
        return sorted(found, key=lambda tag: tag.name)

    def after(self, name: str) -> "TagQuerySet":
        """The tags after this name, in the order of their characters."""
        by_name = ByCodePoint("name")
        return self.filter(GreaterThan(by_name, Value(name))).order_by(by_name)

    def page(self, after: str, limit: int, part: str = "") -> list["CountedTag"]:
        """The next `limit` tags after the name `after`, in the order of their characters. `part`:
        see `named_like`.

        Counts the contacts of the returned tags only. Where `part` is given, it also reads the
        names of the tags that do not have it.
        """
        if not part:
            return self.after(after).counted(limit)
        is_in = finder(part)
        step = max(limit, NAMES_READ)
        found: list[str] = []
        is_more = True
        while is_more:
            some = list(self.after(after).values_list("pk", "name")[:step])
            found += [pk for pk, name in some if is_in(name)]
            is_more = len(some) == step and len(found) < limit
            after = some[-1][1] if some else after
        return self.filter(pk__in=found[:limit]).order_by(ByCodePoint("name")).counted(limit)

    def counted(self, limit: int) -> list["CountedTag"]:
        """The first `limit` of these tags."""
        found = [*self.values_list("pk", "name", "tenant")[:limit]]
        numbers = numbers_of_contacts(found, may_count=limit > tag_counts.SMALL_PAGE)
        return [CountedTag(pk, name, numbers[pk]) for pk, name, _ in found]

    def with_count(self) -> "TagQuerySet":
        """The tags with the `count` of their contacts. Not counted with a join: the database may
        then count the contacts of all tags before it returns the first tag."""
        links = ContactTag.objects.filter(tenant=OuterRef("tenant"), tag=OuterRef("pk"))
        number = links.order_by().values("tag").annotate(n=models.Count("contact")).values("n")
        return self.annotate(count=Coalesce(Subquery(number), 0))

    def named(self, name: str) -> "Tag":
        """The tag with this name, `with_ends`; if there is none, a new, unsaved tag."""
        return self.with_ends().filter(name=name).first() or Tag(name=name)

    def with_ends(self) -> "TagQuerySet":
        """The tags with the ids of their `oldest` and `newest` contact; None for an unused tag."""
        links = ContactTag.objects.filter(tenant=OuterRef("tenant"), tag=OuterRef("pk"))
        by_age = links.order_by("contact").values("contact")
        return self.annotate(oldest=Subquery(by_age[:1]), newest=Subquery(by_age.reverse()[:1]))


def numbers_of_contacts(
    tags: Sequence[tuple[str, str, str]], *, may_count: bool = True
) -> dict[str, int]:
    """How many contacts have each of `tags`, by the id of the tag. `tags`: id, name and tenant of
    each. `may_count`: see `tag_counts.of_tenant`."""
    tenants = {tenant for _, _, tenant in tags}
    if len(tenants) == 1:
        counts = tag_counts.of_tenant(*tenants, may_count=may_count)
        if counts is not None:
            return {pk: counts[name] for pk, name, _ in tags}
    ids = [pk for pk, _, _ in tags]
    counted = Tag.objects.filter(tenant__in=tenants, pk__in=ids).with_count()
    return {tag.pk: tag.count for tag in counted}


class CountedTag(NamedTuple):
    """A tag as list-tags answers it."""

    id: str
    name: str
    contacts_count: int


class Tag(Owned):
    """A label of a tenant's contacts. Names are case-sensitive."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=rules.MAX_TAG)
    created_at = models.DateTimeField(auto_now_add=True)

    oldest: str | None  # `with_ends` adds this attribute and the next one
    newest: str | None
    count: int  # `with_count` adds it

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="tag_name_per_tenant"),
            models.CheckConstraint(
                condition=~Q(name__contains=",") & ~Q(name=""), name="tag_name_fits_a_list"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the tag, and gives a new name to its contacts, too: see `writing.tags.rename`."""
        from contacts.writing import tags

        tags.save(self, partial(super().save, *args, **kwargs))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Removes the tag from its contacts, then deletes it. The contacts stay."""
        return Tag.objects.filter(tenant=self.tenant_id, pk=self.pk).delete()

    def own_links(self) -> "models.QuerySet[ContactTag]":
        """Its links, found by their primary key, which begins with the tenant."""
        return ContactTag.objects.filter(tenant=self.tenant_id, tag=self)

    def is_rare(self) -> bool:
        """Whether few contacts have it. Counts no more than that."""
        return are_few(self.own_links())


def are_few(rows: "models.QuerySet[Any]", most: int | None = None) -> bool:
    """Whether `rows` are at most `most`, or `SMALL_RESULT`. Counts no more than that."""
    most = SMALL_RESULT if most is None else most
    return rows[: most + 1].count() <= most


def links_of(tags: "Iterable[Tag]") -> "models.QuerySet[ContactTag]":
    """The links of these tags. The tenants are in the condition, because the index on links begins
    with tenant and tag and is ordered by contact."""
    pks = {tag.pk: tag.tenant_id for tag in tags}
    return ContactTag.objects.filter(tenant__in={*pks.values()}, tag__in=[*pks])


class ContactTag(models.Model):
    """A link: `Contact.tags` names the tags of a contact, links find the contacts of a tag.

    Without foreign key constraints: the database would check each link at the commit, which took a
    third of the time of an import. Whoever writes links has locked their contacts and tags;
    `check_contacts` reports links without a contact or a tag. (Citus cannot have these constraints:
    they do not include the tenant.)
    """

    pk = models.CompositePrimaryKey("tenant_id", "tag_id", "contact_id")
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="links", db_constraint=False)
    contact = models.ForeignKey(
        "contacts.Contact", models.CASCADE, related_name="links", db_constraint=False
    )

    def __str__(self) -> str:
        return f"{self.contact_id} {self.tag_id}"
