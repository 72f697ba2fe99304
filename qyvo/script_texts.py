"""The texts of the admin's scripts, in the language of a page.

The function `said` of `admin.js` looks them up. Names in braces are places for values; scripts fill
them.
"""

from typing import Any

from django.utils.translation import gettext, gettext_noop
from django.views.i18n import JavaScriptCatalog

TEXTS = (
    # admin.js
    gettext_noop("Copied"),
    gettext_noop("Press Ctrl+C"),
    gettext_noop("Copy"),
    gettext_noop("Menu"),
    gettext_noop("Account"),
    gettext_noop("Close the menu"),
    gettext_noop("Search"),
    gettext_noop("Filters"),
    gettext_noop("Entries of the menu"),
    gettext_noop("Fields of the filters"),
    gettext_noop("Rows of the list"),
    gettext_noop("Actions"),
    gettext_noop("Theme"),
    gettext_noop("Add or change"),
    gettext_noop("More pages"),
    gettext_noop("Close the filters"),
    # finder.js
    gettext_noop("The search does not answer. Load the page again."),
    # typed.js
    gettext_noop(
        "Not saved yet: this is what you typed before you logged in again. Passwords and files are"
        " not kept."
    ),
    # preferences.js
    gettext_noop("Use {zone}, as this browser"),
    # tags.js
    gettext_noop("Tags"),
    gettext_noop("Suggestions: {label}"),
    gettext_noop("Create tag “{name}”"),
    gettext_noop("No tag contains “{text}”."),
    gettext_noop("Remove the tag {name}"),
    gettext_noop("Added: {name}"),
    gettext_noop("Create “{text}” instead"),
    gettext_noop("“{text}” was completed to “{name}”."),
    # metadata.js
    gettext_noop("This is not JSON. Choose Text to keep it as a text."),
    gettext_noop("The key is missing."),
    gettext_noop("Another row has this key."),
    gettext_noop("This key is one of the fields above."),
    gettext_noop("Text"),
    gettext_noop("Remove"),
    gettext_noop("Key"),
    gettext_noop("Value of {key}"),
    gettext_noop("Value of the new key"),
    gettext_noop("Kind of {key}"),
    gettext_noop("Kind of the new key"),
    gettext_noop("Remove {key}"),
    gettext_noop("Remove the new key"),
    gettext_noop("Add a key"),
    gettext_noop(
        "What you type is a text, also 12. Choose JSON for a number, true, false, null, a list or"
        " an object."
    ),
    gettext_noop("More than {number} keys can only be edited as JSON."),
    gettext_noop("This is not a JSON object."),
    gettext_noop("Look at line {line}, column {column}."),
    gettext_noop("Edit as JSON"),
    gettext_noop("Edit as rows"),
)


def script_texts() -> dict[str, str]:
    """The texts that differ from the English ones, by these. Empty in English: the scripts have
    the English texts themselves, so most pages stay as small as before."""
    return {text: shown for text in TEXTS if (shown := gettext(text)) != text}


# Texts of Django's own scripts (the boxes with the permissions of a user, the choice of a day) that
# it lacks in German, or that agree with no feminine word in Spanish and Portuguese.
OF_DJANGO = (
    gettext_noop("(click to clear)"),
    gettext_noop("Available %s"),
    gettext_noop("Choose a Date"),
    gettext_noop("Choose a Time"),
    gettext_noop("Chosen %s"),
    gettext_noop("Type into this box to filter down the list of available %s."),
    gettext_noop("Type into this box to filter down the list of selected %s."),
    gettext_noop("Choose all %s"),
    gettext_noop("Choose selected %s"),
    gettext_noop('Choose %s by selecting them and then select the "Choose" arrow button.'),
    gettext_noop("Remove all %s"),
    gettext_noop("Remove selected %s"),
    gettext_noop('Remove %s by selecting them and then select the "Remove" arrow button.'),
)


class ScriptCatalog(JavaScriptCatalog):
    """The texts of Django's scripts."""

    def get_catalog(self) -> dict[str, Any]:
        return super().get_catalog() | {text: gettext(text) for text in OF_DJANGO}
