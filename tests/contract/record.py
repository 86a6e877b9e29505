"""``python -m tests.contract.record [TYPE ...]``: plays the example programme and records samples of its events.

Without types it records those that have no sample yet; with types, such as ``commonweal.funding.tranche_paid.v1``, one
more sample of each. It only ever adds files: what is recorded stays as it is.
"""
# ruff: noqa: E402

import warnings

warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

import eventlet

# The services run in this process: the standard library must yield to them before anything else is imported.
eventlet.monkey_patch()

import io
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from kombu import Connection
from marshmallow import Schema, fields, validate
from rich.console import Console

from examples.demo.programme import Programme
from examples.demo.screen import Screen
from examples.demo.stage import Stage, embedded_stage
from examples.demo.story import Story
from shared import ids
from shared.events.catalogue import EVENT_TYPES, SOURCES, event_type
from shared.fields import DecimalString, Text
from shared.messaging import broker, embedded
from shared.messaging.topology import exchange_of
from tests.support import samples
from tests.support.samples import Sample, fields_of, paths_in

OBSERVER = "recorder"
ARRIVAL_TIMEOUT_S = 30.0
#: The one text that a benefit in money may have for its unit.
MONEY_UNIT = "GBP"
#: A council that leads no project of the programme.
LEAVER = "S12000005"


def play() -> dict[str, list[Sample]]:
    """Play the programme and what it leaves out; returns every message that was published, by event type."""
    with embedded_stage(None) as stage, broker.connect(embedded.URI) as connection:
        with connection.channel() as channel:
            channel.queue_declare(queue=OBSERVER)
            for source in SOURCES:
                channel.queue_bind(queue=OBSERVER, exchange=exchange_of(source), routing_key="#")
        story = Story(stage, Programme(stage.signing_key), Screen(Console(file=io.StringIO())))
        story.tell(None)
        play_what_the_programme_leaves_out(stage, story)
        published: dict[str, list[Sample]] = defaultdict(list)
        deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
        while not set(EVENT_TYPES) <= set(published) and time.monotonic() < deadline:
            for sample in published_since(connection):
                published[sample.type].append(sample)
            time.sleep(0.1)
    return published


def play_what_the_programme_leaves_out(stage: Stage, story: Story) -> None:
    """A second round opens and is changed; a sponsor, the panel, a lead council and an officer say no.

    A new revision asks the sponsor who said no, and keeps the confirmation of the one who said yes.
    """
    who = story.programme
    cdo, treasurer = stage.client.acting(who.cdo.token), stage.client.acting(who.treasurer.token)
    today = stage.clock.now()
    second = cdo.proposals.open_round(
        **story.data["round"]
        | {
            "title": "Second collaboration round, spring 2027",
            "opens_on": f"{today:%Y-%m-%d}",
            "closes_on": f"{today + timedelta(days=60):%Y-%m-%d}",
        }
    )
    cdo.proposals.change_round(
        round_id=second["round_id"],
        expected_version=second["version"],
        closes_on=f"{today + timedelta(days=81):%Y-%m-%d}",
        reason="The councils' budgets are set in March this year; they asked for three more weeks.",
    )
    content = who.contents["road-defects"]
    lead = stage.client.acting(who.proposer(content["lead_council"]).token)
    proposal_id = lead.proposals.create_proposal(round_id=second["round_id"], content=content)["proposal_id"]
    lead.proposals.submit_proposal(proposal_id=proposal_id)
    refusing, willing = (stage.client.acting(who.sponsor(council).token) for council in content["participants"])
    willing.proposals.confirm_participation(proposal_id=proposal_id, revision=1)
    refusing.proposals.decline_participation(
        proposal_id=proposal_id,
        revision=1,
        reason="We bought a survey of all our roads in January.\nWe would join a project that uses its pictures.",
    )
    stage.client.acting(who.panel_chair.token).proposals.request_changes(
        proposal_id=proposal_id,
        reason="Say who may look at the pictures, how long they are kept, and how faces and number plates are hidden.",
    )
    described = content | {"problem": f"{content['problem']}\nNobody keeps a picture that shows a face or a plate."}
    lead.proposals.update_proposal(proposal_id=proposal_id, content=described, expected_revision=1)
    lead.proposals.submit_proposal(proposal_id=proposal_id, expected_revision=2)
    lead.proposals.withdraw_proposal(
        proposal_id=proposal_id,
        reason="Fewer councils than planned would share the cameras; we will come back in 2028.",
    )

    candidate = story.proposals["warrant-checks"]
    pledged = treasurer.funding.set_contributions(
        pool_id=story.pool_id, year="2027-28", total_pence=100_000_000, scheme="population"
    )
    for share in pledged["shares"]:
        treasurer.funding.record_receipt(
            pool_id=story.pool_id,
            council=share["council"],
            amount_pence=share["amount_pence"],
            bank_reference=f"JDP-2027-28-{share['council']}",
            received_on=f"{today:%Y-%m-%d}",
        )
    award = treasurer.funding.offer_award(
        pool_id=story.pool_id,
        proposal_id=candidate["proposal_id"],
        amount_pence=candidate["content"]["requested_pence"],
        expires_on=f"{today + timedelta(days=30):%Y-%m-%d}",
    )
    stage.client.acting(who.approver.token).funding.approve_award(award_id=award["award_id"])
    officer = stage.client.acting(who.s95_officer(award["lead_council"]).token)
    officer.funding.decline_award(
        award_id=award["award_id"],
        reason="The three councils' budgets for 2027-28 no longer hold the £20,000 that they promised to add.",
    )
    let_projects_end(stage, story)
    let_an_offer_lapse(stage, story, candidate)
    report_as_finance(stage, story)
    let_a_receipt_be_reversed(stage, story)
    let_a_council_leave_and_the_year_end(stage, story)


def report_as_finance(stage: Stage, story: Story) -> None:
    """The accounts system reports a council's money, with its pool and without, and a payment that is on record.

    It is none of our services: it publishes by itself, and does not number its events.
    """
    treasurer = stage.client.acting(story.programme.treasurer.token)
    today = f"{stage.clock.now():%Y-%m-%d}"
    receipt = {"council": "S12000036", "amount_pence": 1_250_000, "received_on": today}
    award, paid = next(
        (award, tranche)
        for award in treasurer.funding.list_awards()["items"]
        for tranche in award["tranches"]
        if tranche["state"] == "paid"
    )
    payment = {
        "award_id": award["award_id"],
        "tranche": paid["tranche"],
        "amount_pence": paid["amount_pence"],
        "payment_reference": paid["payment_reference"],
        "paid_on": paid["paid_on"],
    }
    named = {"pool_id": story.pool_id, **receipt, "bank_reference": "BACS CEC 000431"}
    reports = [
        ("contribution_received", receipt["council"], named),
        ("contribution_received", receipt["council"], {**receipt, "bank_reference": "BACS CEC 000432"}),
        ("payment_made", award["award_id"], payment),
    ]
    with broker.connect(embedded.URI) as connection, connection.channel() as channel:
        for name, subject, data in reports:
            kind = event_type("finance", name)
            headers = {
                "ce-id": str(ids.new_id()),
                "ce-source": kind.source,
                "ce-type": kind.type,
                "ce-subject": subject,
                "ce-time": stage.clock.now().isoformat().replace("+00:00", "Z"),
                "ce-specversion": "1.0",
            }
            message = channel.prepare_message(
                json.dumps(data), content_type="application/json", content_encoding="utf-8", headers=headers
            )
            channel.basic_publish(message, exchange=exchange_of(kind.source), routing_key=name)
    reported = {named["bank_reference"], "BACS CEC 000432"}
    chosen = {"pool_id": story.pool_id, "council": receipt["council"], "flag": "unpledged"}
    deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
    while not reported <= {each["bank_reference"] for each in treasurer.funding.list_receipts(**chosen)["items"]}:
        if time.monotonic() > deadline:
            raise click.ClickException("funding has not taken in what finance reported.")
        time.sleep(0.1)


def let_an_offer_lapse(stage: Stage, story: Story, candidate: dict[str, Any]) -> None:
    """Nobody answers a second offer until its last day is over."""
    who, today = story.programme, stage.clock.now()
    award = stage.client.acting(who.treasurer.token).funding.offer_award(
        pool_id=story.pool_id,
        proposal_id=candidate["proposal_id"],
        amount_pence=candidate["content"]["requested_pence"],
        expires_on=f"{today + timedelta(days=14):%Y-%m-%d}",
    )
    stage.client.acting(who.approver.token).funding.approve_award(award_id=award["award_id"])
    stage.clock.set(today + timedelta(days=15))


def let_projects_end(stage: Stage, story: Story) -> None:
    """A project gives back what it did not need or may not keep, and is completed; another one is terminated."""
    who, today = story.programme, stage.clock.now()
    treasurer, approver = stage.client.acting(who.treasurer.token), stage.client.acting(who.approver.token)
    paid = story.awards[story.data["drawdowns"][0]["proposal"]]
    other = next(award for award in story.awards.values() if award is not paid)

    def carry_out(method: str, award: dict[str, Any], **arguments: Any) -> None:
        asked = getattr(treasurer.funding, method)(award_id=award["award_id"], **arguments)
        approver.funding.approve_instruction(instruction_id=asked["instruction_id"])

    carry_out("return_underspend", paid, amount_pence=1_250_00)
    known = {"bank_reference": "JDP-RETURN-0001", "received_on": f"{today:%Y-%m-%d}"}
    carry_out("return_underspend", paid, amount_pence=830_50, **known)
    carry_out(
        "claw_back",
        paid,
        amount_pence=4_000_00,
        bank_reference="JDP-CLAWBACK-0001",
        reason="The licences were bought for a service outside the project.",
    )
    carry_out("complete_project", paid)
    carry_out(
        "terminate_award",
        other,
        reason="The supplier has withdrawn its product, and no other one reads the councils' registers.",
    )


def let_a_receipt_be_reversed(stage: Stage, story: Story) -> None:
    """A council's money is recorded that was another one's; two people take it back."""
    treasurer, who = stage.client.acting(story.programme.treasurer.token), story.programme
    treasurer.funding.record_receipt(
        pool_id=story.pool_id,
        council=LEAVER,
        amount_pence=1_000_00,
        bank_reference="JDP-MISTAKEN-0001",
        received_on=f"{stage.clock.now():%Y-%m-%d}",
    )
    asked = treasurer.funding.reverse_transaction(
        pool_id=story.pool_id,
        number=treasurer.funding.verify_ledger(pool_id=story.pool_id)["transactions"],
        reason="The bank's statement of this week names another council for it.",
    )
    stage.client.acting(who.approver.token).funding.approve_instruction(instruction_id=asked["instruction_id"])


def let_a_council_leave_and_the_year_end(stage: Stage, story: Story) -> None:
    """A council leaves and is refunded its part of what is free; then the pool's first year is over and closed."""
    who, today = story.programme, stage.clock.now()
    treasurer, approver = stage.client.acting(who.treasurer.token), stage.client.acting(who.approver.token)
    pool = treasurer.funding.remove_member(pool_id=story.pool_id, council=LEAVER, leaves_on=f"{today:%Y-%m-%d}")
    stage.clock.set(today + timedelta(days=1))
    asked = treasurer.funding.refund_leaver(pool_id=story.pool_id, council=LEAVER)
    approver.funding.approve_instruction(instruction_id=asked["instruction_id"])
    year = pool["years"][0]
    over = datetime(int(year[:4]) + 1, 4, 2, 9, tzinfo=UTC)
    stage.clock.set(max(over, stage.clock.now()))
    asked = treasurer.funding.close_year(pool_id=story.pool_id, year=year)
    approver.funding.approve_instruction(instruction_id=asked["instruction_id"])


def published_since(connection: Connection) -> Iterator[Sample]:
    """Take what the observer's queue holds."""
    with connection.channel() as channel:
        while (raw := channel.basic_get(OBSERVER, no_ack=True)) is not None:
            message = channel.message_to_python(raw)
            yield Sample(
                type=message.headers["ce-type"],
                label="",
                exchange=message.delivery_info["exchange"],
                routing_key=message.delivery_info["routing_key"],
                content_type=message.content_type,
                headers={name: value for name, value in message.headers.items() if name.startswith("ce-")},
                data=json.loads(message.body),
            )


def choose(published: list[Sample]) -> list[Sample]:
    """Choose what to keep of the messages of one type: the fullest and, where fields are optional, the emptiest.

    Beside them go forms of them that the story does not show: ``least`` of a publisher that leaves out what it need not
    say, ``largest`` and ``smallest`` with texts and numbers as far as the schema lets them go.
    """

    def said(sample: Sample) -> int:
        return len(set(paths_in(sample.data)))

    kind = EVENT_TYPES[published[0].type]
    schema = kind.schema()
    by_size = sorted(published, key=lambda sample: len(sample.as_json()))
    fullest, emptiest = max(by_size, key=said), min(by_size, key=said)
    chosen = [replace(fullest, label="full")]
    if any(not field.required for _, field in fields_of(schema)):
        chosen.append(replace(emptiest, label="emptiest"))
        chosen.append(another(emptiest, "least", without_optional_fields(emptiest.data, schema)))
    for label in ("largest", "smallest"):
        stretched = at_the_limits(fullest.data, schema, label)
        if stretched != fullest.data:
            chosen.append(another(fullest, label, stretched))
    for sample in chosen:
        kind.dump(kind.load(sample.data))  # raises for what no service could have published
    return chosen


def another(sample: Sample, label: str, data: dict[str, Any]) -> Sample:
    """Return an event like a recorded one with other data."""
    return replace(sample, label=label, headers={**sample.headers, "ce-id": str(ids.new_id())}, data=data)


def without_optional_fields(data: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """Return an event's data with nothing but what its schema asks for."""
    return _mapped(data, schema, lambda value, field: value, lambda field: field.required)


def at_the_limits(data: dict[str, Any], schema: Schema, label: str) -> dict[str, Any]:
    """Return an event's data with each text and number as long and as large as its field lets it be, or as little."""
    return _mapped(data, schema, _largest if label == "largest" else _smallest, lambda field: True)


def _largest(value: Any, field: fields.Field[Any]) -> Any:
    if isinstance(field, Text) and value != MONEY_UNIT:
        return (value + " " + "and so on " * field.max_length)[: field.max_length - 1] + "."
    if isinstance(field, DecimalString):
        return str(field.maximum or "999999999999999.999999")
    limit = next((rule.max for rule in field.validators if isinstance(rule, validate.Range)), None)
    return value if limit is None else limit


def _smallest(value: Any, field: fields.Field[Any]) -> Any:
    if isinstance(field, Text) and value != MONEY_UNIT:
        return value[0]
    if isinstance(field, DecimalString):
        return str("-999999999999999.999999" if field.minimum is None else field.minimum)
    limit = next((rule.min for rule in field.validators if isinstance(rule, validate.Range)), None)
    return value if limit is None else limit


def _mapped(
    data: dict[str, Any],
    schema: Schema,
    change: Callable[[Any, fields.Field[Any]], Any],
    wanted: Callable[[fields.Field[Any]], bool],
) -> dict[str, Any]:
    """Return data with every value that is not made of others changed, and without the fields that are not wanted."""

    def changed(value: Any, field: fields.Field[Any]) -> Any:
        if value is None:
            return None
        if isinstance(field, fields.List):
            return [changed(item, field.inner) for item in value]
        if isinstance(field, fields.Nested):
            return _mapped(value, field.schema, change, wanted)
        return change(value, field)

    return {name: changed(value, schema.fields[name]) for name, value in data.items() if wanted(schema.fields[name])}


def keep(sample: Sample) -> Path:
    """Keep a sample under its label, or under the label with the next free number."""
    label, number = sample.label, 1
    while (samples.DIRECTORY / sample.path).exists():
        number += 1
        sample = replace(sample, label=f"{label}-{number}")
    return samples.keep(sample)


@click.command()
@click.argument("types", type=click.Choice(list(EVENT_TYPES)), nargs=-1, metavar="[TYPE]...")
def main(types: tuple[str, ...]) -> None:
    """Play the example programme and record samples of its events.

    TYPE is an event type such as commonweal.funding.tranche_paid.v1, of which one more sample is wanted; without any,
    every type is recorded that has no sample yet.
    """
    logging.disable(logging.WARNING)
    wanted = types or [kind for kind in EVENT_TYPES if not samples.samples_of(kind)]
    if not wanted:
        raise click.ClickException("Every event type has a sample; name the type of which you want one more.")
    published = play()
    for kind in wanted:
        if kind not in published:
            raise click.ClickException(f"{kind} was not published; add a scene with it to {__file__}.")
        for sample in choose(published[kind]):
            click.echo(keep(sample).relative_to(samples.DIRECTORY))


if __name__ == "__main__":
    main()
