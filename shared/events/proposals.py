"""Events of the proposals service."""

from marshmallow import Schema, fields, validate

from shared.fields import Day, DecimalString, Flag, Gss, Id, Items, Key, Moment, Pence, Person, Text, WholeNumber
from shared.proposal_content import ProposalContent

#: Who sits on a panel beside its chair, at most.
MAX_PANEL = 20
MAX_CRITERIA = 20
MAX_COUNCILS = 32


class Criterion(Schema):
    """A criterion of a round and what it weighs."""

    key = Key(required=True)
    title = Text(required=True, max_length=200)
    weight = WholeNumber(required=True, minimum=1, maximum=100)


class RoundOpened(Schema):
    """A round takes proposals from ``opens_on`` to ``closes_on``, both included; told when the first day has come."""

    round_id = Id(required=True)
    title = Text(required=True, max_length=200)
    opens_on = Day(required=True)
    closes_on = Day(required=True)
    criteria = Items(fields.Nested(Criterion), required=True, validate=validate.Length(max=20))
    min_participants = WholeNumber(required=True, minimum=1, maximum=32)
    quorum = WholeNumber(required=True, minimum=1, maximum=32)
    ceiling_pence = Pence(required=True)


class RoundChanged(RoundOpened):
    """A round's terms were changed, before it began or while it was open: these are all of them now.

    What was handed in before keeps the rules that it was handed in under.
    """

    reason = Text(required=True, max_length=2000, lines=True)
    changed_at = Moment(required=True)


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
    spread = DecimalString(load_default=None)
    wide_spread = Flag(load_default=None)
    assessed_at = Moment(required=True)


class PanelMember(Schema):
    """Somebody who decides, and the council that the person is of, if any."""

    person = Person(required=True)
    council = Gss(load_default=None)


class PinnedRules(Schema):
    """The rules that a proposal is held to: those of its round when it was created."""

    criteria = Items(fields.Nested(Criterion), required=True, validate=validate.Length(max=MAX_CRITERIA))
    min_participants = WholeNumber(required=True, minimum=1, maximum=MAX_COUNCILS)
    quorum = WholeNumber(required=True, minimum=1, maximum=MAX_COUNCILS)
    ceiling_pence = Pence(required=True)


class CouncilsWord(Schema):
    """A council stands behind a revision, by the word of the person who confirmed it; the lead's by handing it in."""

    council = Gss(required=True)
    revision = WholeNumber(required=True, minimum=1, maximum=1_000_000)
    confirmed_at = Moment(required=True)
    confirmed_by = Person(required=True)


class CriterionResult(Schema):
    """How a criterion was scored: the mean of its scores, out of 10, and how far the highest is from the lowest."""

    criterion = Key(required=True)
    mean = DecimalString(required=True)
    spread = WholeNumber(required=True, minimum=0, maximum=10)


class Determination(AboutProposal):
    """What both decisions of a panel say: on what they rest, and who made them."""

    score = DecimalString(required=True)
    minute = Text(required=True, max_length=4000, lines=True)
    assessments = WholeNumber(minimum=1, maximum=1000, load_default=None)
    spread = DecimalString(load_default=None)
    wide_spread = Flag(load_default=None)
    moderated = Flag(load_default=None)
    decided_by = Person(load_default=None)
    panel = Items(fields.Nested(PanelMember), load_default=None, validate=validate.Length(max=MAX_PANEL + 1))


class ProposalApproved(Determination):
    """The panel approved the revision; with its decision travels all that others will ever need to know of it.

    - For an award: who leads and who takes part, costs, match funding and tranches (``content``), the most that may be
      offered (``rules``), and who asked, confirmed and decided, none of whom should approve the money.
    - For tracking: benefits with baselines, targets and owners, milestones (``content``), and each council's word that
      it stands behind its part (``confirmations``).
    - For a report: the round, the score by criterion, how far the assessments were apart, the panel and its minute.

    ``content_hash`` can be checked by whoever holds the event: it is the SHA-256 of ``content`` as JSON in UTF-8, keys
    sorted, no spaces, letters as they are.

    People are named, as their tokens do, because whoever approves or pays has to be somebody else: those who handed in,
    confirmed and sat on the panel. Assessments, whoever gave them, and moderation notes stay in the service.
    What is not required is missing in decisions that were made before it was added.
    """

    content_hash = Text(required=True, max_length=64)
    content = fields.Nested(ProposalContent, required=True)
    approved_at = Moment(required=True)
    round_reference = Text(max_length=32, load_default=None)
    round_title = Text(max_length=200, load_default=None)
    rules = fields.Nested(PinnedRules, load_default=None)
    submitted_at = Moment(load_default=None)
    submitted_by = Person(load_default=None)
    confirmations = Items(fields.Nested(CouncilsWord), load_default=None, validate=validate.Length(max=MAX_COUNCILS))
    criterion_results = Items(
        fields.Nested(CriterionResult), load_default=None, validate=validate.Length(max=MAX_CRITERIA)
    )


class ProposalRejected(Determination):
    """The panel rejected the revision."""

    content_hash = Text(max_length=64, load_default=None)
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
    ("round_changed", 1, RoundChanged),
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
