"""What was published once is read for ever: recorded samples of every event version, and what may become of a schema.

A version's data only ever grow. So the samples, which are never changed, show what must not be done to a schema: take a
field away, rename it, tighten a rule. And a field may only be added together with a sample that has it.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from marshmallow import RAISE, Schema, fields, validate

from shared.events import funding, outcomes, proposals
from shared.events.catalogue import EVENT_TYPES, EventType, event_type
from shared.fields import Day, DecimalString, Pence, Text, flatten
from shared.messaging import events
from shared.messaging.publisher import Message
from shared.proposal_content import Baseline, Benefit, ProposalContent
from tests.support import samples
from tests.support.messages import message_of
from tests.support.samples import Sample, all_samples, fields_of, paths_in, samples_of

TYPES = [pytest.param(kind, id=kind.type) for kind in EVENT_TYPES.values()]
SAMPLES = [pytest.param(sample, id=sample.path.as_posix()) for sample in all_samples()]
RECORD = "python -m tests.contract.record"
PROMISE = (
    "What was published in a version stays readable: its fields are never removed, renamed or made stricter. "
    "Leave this version as it was, and put the change into the next version beside it in the catalogue."
)


def problems_of(kind: EventType, recorded: Sequence[Sample]) -> list[str]:
    """Return what is wrong between an event type and the samples of it, and what to do about it."""
    if not recorded:
        return [f"{kind.type} has no recorded sample. Run: {RECORD} {kind.type}"]
    problems: list[str] = []
    shown = {path for sample in recorded for path in paths_in(sample.data)}
    for path, _ in fields_of(kind.schema()):
        if path not in shown:
            problems.append(
                f"The field {path} of {kind.type} is in no sample. A field is added together with a sample of it: "
                f"have tests/contract/record.py play something that fills it, then run: {RECORD} {kind.type}"
            )
    for sample in recorded:
        for path, sentences in flatten(kind.schema(unknown=RAISE).validate(sample.data)).items():
            problems.append(
                f"{kind.type} no longer takes {path} of the sample {sample.path}: {' '.join(sentences)} {PROMISE}"
            )
    return problems


def is_the_same(recorded: Any, now: Any) -> bool:
    """Whether a value is what was recorded; fields that were added since may stand beside it."""
    if isinstance(recorded, dict):
        return isinstance(now, dict) and all(
            name in now and is_the_same(recorded[name], now[name]) for name in recorded
        )
    if isinstance(recorded, list):
        return isinstance(now, list) and len(recorded) == len(now) and all(map(is_the_same, recorded, now))
    return type(recorded) is type(now) and bool(recorded == now)


def decoded(message: Message) -> events.Event:
    return events.decode(message.body, message.headers, message.content_type)


@pytest.mark.parametrize("kind", TYPES)
def test_the_samples_of_a_type_show_all_of_it_and_are_accepted(kind: EventType) -> None:
    problems = problems_of(kind, samples_of(kind.type))
    assert not problems, "\n".join(problems)


def test_a_version_that_was_published_stays_in_the_catalogue() -> None:
    gone = {sample.type for sample in all_samples()} - set(EVENT_TYPES)
    assert not gone, f"{', '.join(sorted(gone))}: messages of this version may still be under way; put it back."


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_read_with_the_values_that_it_was_written_with(sample: Sample) -> None:
    event = decoded(sample.message())
    attributes = {name.removeprefix("ce-"): value for name, value in sample.headers.items()}
    assert (event.id, event.type.type, event.source) == (attributes["id"], attributes["type"], attributes["source"])
    sequence = int(attributes["sequence"]) if "sequence" in attributes or event.type.is_numbered else None
    assert (event.subject, event.sequence) == (attributes["subject"], sequence)
    assert event.time == datetime.fromisoformat(attributes["time"])
    assert is_the_same(sample.data, event.type.dump(event.data))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_read_in_structured_mode_as_well(sample: Sample) -> None:
    assert sample.structured_message().content_type == "application/cloudevents+json"
    assert decoded(sample.structured_message()) == decoded(sample.message())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_still_what_would_be_published(sample: Sample) -> None:
    """Foreign consumers read what the samples show: exchange, routing key, headers, content type, data."""
    event = decoded(sample.message())
    message = message_of(event)
    assert (message.exchange, message.routing_key) == (sample.exchange, sample.routing_key)
    assert (message.content_type, message.headers) == (sample.content_type, sample.headers)
    assert is_the_same(sample.data, json.loads(message.body))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_stands_under_its_name(sample: Sample) -> None:
    assert (samples.DIRECTORY / sample.path).read_text() == sample.as_json()


def changed_since_recorded(directory: Path) -> list[str]:
    """Return what was done to the samples that must not be done."""
    kept, recorded = samples.digests(directory), samples.manifest(directory)
    problems = [f"{path} is gone: put it back" for path in recorded if path not in kept]
    problems += [f"{path} was changed: put it back" for path in kept if recorded.get(path, kept[path]) != kept[path]]
    problems += [f"{path} is not in MANIFEST: record samples with {RECORD}" for path in kept if path not in recorded]
    return [f"{problem}. A sample shows what was published once; others may stand beside it." for problem in problems]


def test_no_sample_was_changed_or_taken_away() -> None:
    problems = changed_since_recorded(samples.DIRECTORY)
    assert not problems, "\n".join(problems)


# What follows shows that the tests above fail when they should.


def test_a_sample_that_is_changed_or_taken_away_or_made_by_hand_is_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "samples"
    shutil.copytree(samples.DIRECTORY, directory)
    assert changed_since_recorded(directory) == []
    declined, offered = (directory / "funding" / f"award_{what}.v1.full.json" for what in ("declined", "offered"))
    declined.write_text(declined.read_text().replace("three councils", "two councils"))
    offered.rename(offered.with_name("by_hand.v1.full.json"))
    assert [problem.split(":")[0] for problem in changed_since_recorded(directory)] == [
        "funding/award_offered.v1.full.json is gone",
        "funding/award_declined.v1.full.json was changed",
        "funding/by_hand.v1.full.json is not in MANIFEST",
    ]


def test_a_sample_is_never_written_over(tmp_path: Path) -> None:
    sample = all_samples()[0]
    samples.keep(sample, tmp_path)
    with pytest.raises(FileExistsError):
        samples.keep(dataclasses.replace(sample, data={}), tmp_path)
    assert changed_since_recorded(tmp_path) == []


class WithANickname(funding.MemberJoined):
    nickname = Text(max_length=40, load_default=None)


class WithoutTheDay(funding.MemberJoined):
    class Meta:
        exclude = ("joins_on",)


class WithAnotherNameForTheDay(WithoutTheDay):
    member_from = Day(required=True)


class WithAShorterReason(funding.AwardDeclined):
    reason = Text(required=True, max_length=1999, lines=True)


class WithALongerReason(funding.AwardDeclined):
    reason = Text(required=True, max_length=4000, lines=True)


class WithDearerOffers(funding.AwardOffered):
    amount_pence = Pence(required=True, minimum=100)


class WithFewerKinds(outcomes.PeriodCertified):
    kind = fields.String(required=True, validate=validate.OneOf(["cashable_saving", "capability"]))


class WithANumeratorThatIsNeeded(outcomes.ActualReported):
    numerator = DecimalString(required=True, allow_none=True)


class WithoutNulls(outcomes.ActualReported):
    numerator = DecimalString(load_default="0")


class NotedBaseline(Baseline):
    note = Text(max_length=40, load_default=None)


class BenefitFromANotedBaseline(Benefit):
    baseline = fields.Nested(NotedBaseline, required=True)


class NotedContent(ProposalContent):
    benefits = fields.List(fields.Nested(BenefitFromANotedBaseline), required=True)


class WithAFieldDeepInside(proposals.ProposalApproved):
    content = fields.Nested(NotedContent, required=True)


@pytest.mark.parametrize(
    ("name", "schema", "field", "sentence"),
    [
        ("funding.member_joined", WithANickname, "nickname", "is in no sample"),
        ("funding.member_joined", WithoutTheDay, "joins_on", "Unknown field."),
        ("funding.member_joined", WithAnotherNameForTheDay, "member_from", "is in no sample"),
        ("funding.member_joined", WithAnotherNameForTheDay, "joins_on", "Unknown field."),
        ("funding.member_joined", WithAnotherNameForTheDay, "member_from", "Missing data"),
        ("funding.award_declined", WithAShorterReason, "reason", "Shorten this to 1,999 characters"),
        ("funding.award_offered", WithDearerOffers, "amount_pence", "Give whole pence from 100"),
        ("outcomes.period_certified", WithFewerKinds, "kind", "Must be one of"),
        ("outcomes.actual_reported", WithANumeratorThatIsNeeded, "numerator", "Missing data"),
        ("outcomes.actual_reported", WithoutNulls, "numerator", "may not be null"),
        ("proposals.proposal_approved", WithAFieldDeepInside, "content.benefits[].baseline.note", "is in no sample"),
    ],
)
def test_a_change_that_breaks_what_was_published_is_told(
    name: str, schema: type[Schema], field: str, sentence: str
) -> None:
    kind = dataclasses.replace(event_type(*name.split(".")), schema=schema)
    problems = [problem for problem in problems_of(kind, samples_of(kind.type)) if f" {field} " in f"{problem} "]
    assert any(sentence in problem for problem in problems), problems
    assert all(kind.type in problem for problem in problems)
    assert all(RECORD in problem or "next version" in problem for problem in problems)


def test_a_change_that_breaks_nothing_passes() -> None:
    kind = dataclasses.replace(event_type("funding", "award_declined"), schema=WithALongerReason)
    assert problems_of(kind, samples_of(kind.type)) == []


def test_a_type_without_a_sample_is_told_how_to_get_one() -> None:
    kind = event_type("funding", "tranche_paid")
    assert problems_of(kind, []) == [f"{kind.type} has no recorded sample. Run: {RECORD} {kind.type}"]


def test_a_value_that_comes_back_otherwise_is_not_the_same() -> None:
    assert is_the_same({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x", "added": None}], "added": 2})
    for other in ({"a": [1]}, {"a": [1, {"b": "y"}]}, {"a": [True, {"b": "x"}]}, {}, []):
        assert not is_the_same({"a": [1, {"b": "x"}]}, other)
