"""Yes and no as people and programs write them, in many languages. Pure: no Django."""

from .header_names import listed, words
from .translation import gettext as _

YES = listed(
    "yes, y, true, t, on, 1, x, opted in, opt in, subscribed, granted, accepted, agreed, ja, j,"
    "oui, o, vrai, si, s, sim, tak, da, да, так, evet, نعم, כן, हाँ, हां, ya, 是, はい, ano, igen",
) | {"✓", "✔", "☑"}
NO = listed(
    "no, n, false, f, off, 0, opted out, opt out, unsubscribed, denied, declined, refused, nein,"
    "non, faux, não, nee, nie, nej, nei, ne, nem, нет, ні, hayir, لا, לא, नहीं, tidak, 否, いいえ",
) | {"✗", "✘"}


def answer(text: str) -> bool:
    """What a cell such as `Ja` says. Raises `ValueError` with a sentence for the user, which does
    not repeat the cell."""
    found = "".join(words(text)) or text.strip()
    if found in YES:
        return True
    if found in NO:
        return False
    raise ValueError(_("The consent must be yes or no."))
