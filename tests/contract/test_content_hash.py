"""Whoever gets ``proposal_approved`` can check the hash of what was approved, with nothing but the event."""

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields

from services.proposals.domain.content_hash import content_hash
from services.proposals.events import as_frozen
from shared.events.catalogue import event_type
from shared.proposal_content import ProposalContent
from tests.support.fuzz import value_of
from tests.support.proposals import content
from tests.support.samples import samples_of

APPROVED = event_type("proposals", "proposal_approved")
RECORDED = samples_of(APPROVED.type)


def hash_of(content: Any) -> str:
    """As the event's description says: SHA-256 of JSON in UTF-8, keys sorted, no spaces, letters as they are."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def travelled(frozen: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a revision's content on its way through the event, as its publisher makes it."""
    data = {
        **RECORDED[0].data,
        "content": frozen,
        "content_hash": content_hash(frozen),
    }
    published = APPROVED.dump(APPROVED.load(data) | {"content": as_frozen(frozen)})
    return dict(json.loads(json.dumps(published)))


def optional_places(schema: Schema, content: Any) -> Iterator[tuple[Any, str, fields.Field[Any]]]:
    """Every field that some content could have or lack, with the object in it that would have it."""
    for name, field in schema.fields.items():
        if not field.required:
            yield content, name, field
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested) and content.get(name) is not None:
            items = content[name] if isinstance(field, fields.List) else [content[name]]
            for item in items:
                yield from optional_places(inner.schema, item)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_hash_fits_whichever_optional_fields_there_are(data: st.DataObject) -> None:
    written = copy.deepcopy(content())
    for holder, name, field in list(optional_places(ProposalContent(), written)):
        holder.pop(name, None)
        if data.draw(st.booleans()):
            holder[name] = data.draw(value_of(name, field, {"content": [content()]}))
    if ProposalContent().validate(written):
        return
    frozen = ProposalContent().dump(ProposalContent().load(written))
    event = travelled(frozen)
    assert event["content"] == frozen
    assert hash_of(event["content"]) == event["content_hash"] == content_hash(frozen)


@settings(max_examples=25, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_the_hash_fits_whatever_letters_there_are(text: str) -> None:
    written = content(problem=text)
    if ProposalContent().validate(written):
        return
    frozen = ProposalContent().dump(ProposalContent().load(written))
    event = travelled(frozen)
    assert hash_of(event["content"]) == event["content_hash"]


def test_the_hash_fits_content_that_was_frozen_before_its_optional_fields_were_added() -> None:
    frozen = copy.deepcopy(content())
    for holder, name, _ in list(optional_places(ProposalContent(), frozen)):
        holder.pop(name, None)
    event = travelled(frozen)
    assert event["content"] == frozen
    assert hash_of(event["content"]) == event["content_hash"]
