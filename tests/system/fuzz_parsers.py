"""What people send is read for a while in ever new forms: phones, tags, addresses, bodies.

`pytest -s tests/system/fuzz_parsers.py`; .ci/run runs it. FUZZ_SECONDS is for each parser. What was
found once is in `corpus.json`, and is tried first.
"""

import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.values import rules
from tests.support.api import Api

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6"))
CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text())
pieces = st.sampled_from([
    "+", "00", "1", "415", "5550123", " ", "-", "(", ")", ".", "tel:", ";ext=", ",", "vip", "@",
    "x", ".example", "xn--", "\u200b", "\ufeff", "٣", "１", "\0", "\ud800", "é", "İ", '"', "\\",
    "{", "}", "[", "]", ":", "null", "1e400", "-0.0", '"phone"', '"tags"', '"metadata"', "\n",
    "\r", "=", "%",
])  # fmt: skip
texts = st.lists(pieces | st.text(st.characters(exclude_categories=[]), max_size=8)).map("".join)
fields = st.sampled_from(["phone", "name", "email", "tags", "metadata", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just("+14155550123"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=15,
)
bodies = st.dictionaries(fields, values).map(json.dumps)


def fuzz(strategy: Any, check: Callable[[str], None]) -> int:
    """How many inputs were tried."""
    tried = 0

    @settings(max_examples=200, database=None)
    @given(strategy)
    def some(text: str) -> None:
        nonlocal tried
        tried += 1
        check(text)

    for text in CORPUS:
        check(text)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        some()
    return tried


RULES: dict[str, Callable[[Any], Any]] = {
    "phone": rules.phone,
    "phone of a region": lambda text: rules.phone(text, "AR"),
    "tags": rules.tags,
    "email": rules.email,
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_reads_any_text_or_says_why_not(name: str) -> None:
    rule = RULES[name]

    def check(text: str) -> None:
        try:
            once = rule(text)
        except ValueError as error:
            assert str(error)
        else:
            assert rule(once) == once

    print(f"\n{name}: {fuzz(texts, check):,} inputs")


@pytest.mark.django_db
def test_a_body_is_read_or_refused(api: Api, log: io.StringIO) -> None:
    statuses: Counter[int] = Counter()

    def check(text: str) -> None:
        answer = api.send(text.encode(errors="surrogatepass"))
        statuses[int(answer.status_code)] += 1
        assert answer.status_code in {201, 400, 413, 422}, text

    fuzz(texts | bodies, check)
    print(f"\nbodies: {sum(statuses.values()):,} inputs, answers {dict(statuses)}")
