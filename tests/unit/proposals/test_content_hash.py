"""The hash of a content: the same for ever, and the same for a stranger who works it out again."""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields

from services.proposals.domain.content_hash import content_hash
from shared.fields import MAX_PENCE
from shared.proposal_content import ProposalContent
from tests.support.contents import Content, contents
from tests.support.proposals import ABERDEENSHIRE, content

#: Of the tests' own proposal, worked out once. Nothing may ever change it: scores, confirmations and awards name it.
KNOWN = "ee38dd178bd809923aa27f9158f1c3185f0904de8dff1cc44ee3b05563301716"
README = files("services.proposals").joinpath("README.md").read_text()

#: Whatever a text may hold, and what JSON writers disagree about.
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ['"\\/\b\f\n\r\t', "\x00\x1f\x7f", "é𝄞\u2028"]
)


def test_the_hash_never_changes() -> None:
    assert content_hash(content()) == KNOWN


def test_a_content_from_before_costs_named_councils_keeps_its_hash() -> None:
    again = ProposalContent().dump(ProposalContent().load(content()))
    assert again == content()
    assert content_hash(again) == KNOWN


def test_a_cost_of_no_council_is_written_in_one_way() -> None:
    """A client that sends null means what one that sends nothing means, and gets the same hash."""
    spelt = content()
    for cost in spelt["costs"]:
        cost["council"] = None
    assert content_hash(ProposalContent().dump(ProposalContent().load(spelt))) == KNOWN
    spelt["costs"][0]["council"] = ABERDEENSHIRE
    assert content_hash(ProposalContent().dump(ProposalContent().load(spelt))) != KNOWN


@settings(max_examples=60, deadline=None)
@given(contents(), _TEXTS)
def test_it_is_that_of_the_json_canonicalization_scheme(one: Content, text: str) -> None:
    one["problem"] = text
    one["costs"][0]["amount_pence"] = MAX_PENCE
    canonical = json.dumps(one, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical == rfc8785.dumps(one)


def test_contents_hold_only_what_the_two_write_alike() -> None:
    """Fractions and names beyond ASCII are where canonical forms differ."""

    def kinds(schema: Schema) -> set[type]:
        found: set[type] = set()
        for name, field in schema.fields.items():
            assert name.isascii()
            inner: Any = field.inner if isinstance(field, fields.List) else field
            found |= kinds(inner.schema) if isinstance(inner, fields.Nested) else {type(inner)}
        return found

    numbers = {kind for kind in kinds(ProposalContent()) if issubclass(kind, fields.Number)}
    assert numbers
    assert all(issubclass(kind, fields.Integer) for kind in numbers)
    assert MAX_PENCE < 2**53


def test_the_example_of_the_readme_is_right() -> None:
    [example] = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    said: dict[str, Any] = {}
    exec(example, said)
    assert said["content_hash"] == content_hash(said["content"])


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_line_of_the_readme_for_a_shell_is_right(tmp_path: Path) -> None:
    [line] = re.findall(r"```sh\n(.+?)\n```", README)
    (tmp_path / "revision.json").write_text(json.dumps({"content": content(title='“Gàidhlig” \\ "𝄞"')}))
    told = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split()[0] == content_hash(content(title='“Gàidhlig” \\ "𝄞"'))
