"""Fields of columns, guessed from values where the names of the columns say nothing."""

import pytest

from contacts.importing.guesses import guesses
from contacts.importing.records import Record

FIRST, SECOND = "+33612345678", "+33612345679"


@pytest.mark.parametrize(
    ("columns", "guessed"),
    [
        (
            {"Reach": [FIRST, SECOND], "Post": ["a@x.example", ""]},
            {"Reach": "phone", "Post": "email"},
        ),
        (
            {"Reach": ["0612345678", "06 12 34 56 79", "ask"], "Nr": ["1", "2", "3"]},
            {"Reach": "phone"},
        ),
        ({"Customer": ["612345678", "612345679"], "Reach": ["06 12 34 56 78", "06 12 34 56 79"]},
         {"Reach": "phone"}),
        ({"Column 1": [FIRST], "line": [SECOND]}, {"Column 1": "phone"}),
        ({"Fax": [FIRST], "Emergency line": [SECOND]}, {}),
        ({"Shop": [FIRST, FIRST, FIRST]}, {}),
        ({"Reach": [FIRST, "12"]}, {}),
    ],
)  # fmt: skip
def test_phones_and_mails_are_guessed_if_most_values_are_different_ones(
    columns: dict[str, list[str]], guessed: dict[str, str]
) -> None:
    rows = zip(*columns.values(), strict=False)
    records = [
        Record(line, dict(zip(columns, row, strict=True)), 1) for line, row in enumerate(rows, 2)
    ]
    titles = {column: column for column in columns}
    found = guesses(titles, ["name"], records, region="FR", has_country_code=False)
    assert found == guessed
    assert guesses(titles, ["phone", "email"], records, region="FR", has_country_code=False) == {}
