"""Events of the proposals service."""

from marshmallow import Schema, fields, validate

from shared.fields import Day, DecimalString, Gss, Id, Items, Key, Moment, Pence, Text, WholeNumber
from shared.proposal_content import ProposalContent


class Criterion(Schema):
    """A criterion of a round and what it weighs."""

    key = Key(required=True)
    title = Text(required=True, max_length=200)
    weight = WholeNumber(required=True, minimum=1, maximum=100)


class RoundOpened(Schema):
    """A round takes proposals from ``opens_on`` to ``closes_on``, both included."""

    round_id = Id(required=True)
    title = Text(required=True, max_length=200)
    opens_on = Day(required=True)
    closes_on = Day(required=True)
    criteria = Items(fields.Nested(Criterion), required=True, validate=validate.Length(max=20))
    min_participants = WholeNumber(required=True, minimum=1, maximum=32)
    quorum = WholeNumber(required=True, minimum=1, maximum=32)
    ceiling_pence = Pence(required=True)


class RoundClosed(Schema):
    """A round takes no more proposals."""

    round_id = Id(required=True)
    closed_at = Moment(required=True)


class AboutProposal(Schema):
    """What every event about a proposal says first."""

    proposal_id = Id(required=True)
    reference = Text(required=True, max_length=32)
    round_id = Id(required=True)
    revision = WholeNumber(required=True, minimum=1, maximum=1_000_000)


class AskedCouncil(Schema):
    """A council whose sponsor is asked to confirm, and why it is asked again; a first revision asks everybody."""

    council = Gss(required=True)
    because = Items(Text(max_length=1000), required=True, validate=validate.Length(max=10))


class CarriedConfirmation(Schema):
    """A council whose part is what its sponsor confirmed: the revision in which that was, and when."""

    council = Gss(required=True)
    carried_from = WholeNumber(required=True, minimum=1, maximum=1_000_000)
    confirmed_at = Moment(required=True)


class ProposalSubmitted(AboutProposal):
    """A revision was frozen and handed in.

    Every participant is either asked to confirm it or keeps the confirmation of an earlier revision.
    """

    content_hash = Text(required=True, max_length=64)
    title = Text(required=True, max_length=200)
    lead_council = Gss(required=True)
    participants = Items(Gss(), required=True, validate=validate.Length(max=31))
    requested_pence = Pence(required=True)
    submitted_at = Moment(required=True)
    asked = Items(fields.Nested(AskedCouncil), validate=validate.Length(max=31))
    carried = Items(fields.Nested(CarriedConfirmation), validate=validate.Length(max=31))


class ParticipationConfirmed(AboutProposal):
    """A participating council's sponsor stands behind the revision."""

    council = Gss(required=True)
    confirmed_at = Moment(required=True)


class ParticipationDeclined(AboutProposal):
    """A participating council's sponsor does not stand behind the revision."""

    council = Gss(required=True)
    reason = Text(required=True, max_length=2000, lines=True)
    declined_at = Moment(required=True)


class ChangesRequested(AboutProposal):
    """The panel sent the revision back to its lead council."""

    reason = Text(required=True, max_length=2000, lines=True)
    requested_at = Moment(required=True)


class ProposalAssessed(AboutProposal):
    """The quorum of assessments is reached; ``score`` is their weighted mean, out of 100."""

    assessments = WholeNumber(required=True, minimum=1, maximum=1000)
    score = DecimalString(required=True)
    assessed_at = Moment(required=True)


class ProposalApproved(AboutProposal):
    """The panel approved the revision: the whole frozen content travels with the decision."""

    content_hash = Text(required=True, max_length=64)
    score = DecimalString(required=True)
    content = fields.Nested(ProposalContent, required=True)
    minute = Text(required=True, max_length=4000, lines=True)
    approved_at = Moment(required=True)


class ProposalRejected(AboutProposal):
    """The panel rejected the revision."""

    score = DecimalString(required=True)
    minute = Text(required=True, max_length=4000, lines=True)
    rejected_at = Moment(required=True)


class ProposalWithdrawn(Schema):
    """The lead council took its proposal back; ``revision`` is the last one handed in, 0 if none was."""

    proposal_id = Id(required=True)
    reference = Text(required=True, max_length=32)
    round_id = Id(required=True)
    revision = WholeNumber(required=True, minimum=0, maximum=1_000_000)
    reason = Text(required=True, max_length=2000, lines=True)
    withdrawn_at = Moment(required=True)


EVENTS = (
    ("round_opened", 1, RoundOpened),
    ("round_closed", 1, RoundClosed),
    ("proposal_submitted", 1, ProposalSubmitted),
    ("participation_confirmed", 1, ParticipationConfirmed),
    ("participation_declined", 1, ParticipationDeclined),
    ("changes_requested", 1, ChangesRequested),
    ("proposal_assessed", 1, ProposalAssessed),
    ("proposal_approved", 1, ProposalApproved),
    ("proposal_rejected", 1, ProposalRejected),
    ("proposal_withdrawn", 1, ProposalWithdrawn),
)
