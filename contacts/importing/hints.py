"""What a dry run doubts: phones that can be read in two ways."""

from collections.abc import Iterable
from itertools import islice

from contacts.values import phones
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from .records import Record
from .row import ReadOptions, gathered

SEARCHED_RECORDS = 1000
TWO_READINGS = gettext_noop(
    "Most phones have no + and can be read in two ways: as numbers of %(region)s, which this import"
    " does, or as numbers that begin with their country code. For the second way, choose"
    " phones_have_country_code."
)


def hint(records: Iterable[Record], options: ReadOptions) -> str:
    """A sentence for the user if most phones of the first records can be read in two ways; else
    empty. It shows no phone."""
    if not options.region or options.phones_have_country_code:
        return ""
    searched = islice(records, SEARCHED_RECORDS)
    found = [phone for record in searched if (phone := phone_text(record, options))]
    doubtful = sum(phones.has_two_readings(phone, options.region) for phone in found)
    if 2 * doubtful <= len(found):
        return ""
    return _(TWO_READINGS) % {"region": options.region}


def phone_text(record: Record, options: ReadOptions) -> str:
    if None in record.cells:
        return ""
    raw = gathered(record.cells, options).get("phone", "")
    return str(raw) if isinstance(raw, str | int) else ""
