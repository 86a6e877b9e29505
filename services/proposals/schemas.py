"""The RPC surface: what callers send and what they get back. A request is named after its method."""

from marshmallow import Schema, fields, validate

from services.proposals.domain.lifecycle import State
from services.proposals.domain.scoring import MAX_SCORE
from shared.events.proposals import Criterion
from shared.fields import CommandSchema, Day, Gss, Id, Items, Key, Moment, Pence, Table, Text, WholeNumber
from shared.proposal_content import ProposalDraft
from shared.storage.paging import PageRequest

REASON_LENGTH = 2000
MINUTE_LENGTH = 4000
#: Fields that a content may have to be checked: some more than there are, because those are told.
MAX_CONTENT_FIELDS = 1000


def _revision() -> WholeNumber:
    return WholeNumber(required=True, minimum=1, maximum=1_000_000)


def _reason() -> Text:
    return Text(required=True, max_length=REASON_LENGTH, lines=True)


# --- requests: rounds ---


class OpenRound(CommandSchema):
    """A round to announce; ``opens_on`` and ``closes_on`` are both days on which it takes proposals."""

    title = Text(required=True, max_length=200)
    opens_on = Day(required=True)
    closes_on = Day(required=True)
    criteria = Items(
        fields.Nested(Criterion),
        required=True,
        validate=validate.Length(min=1, max=20, error="Give at least one criterion, and at most {max}."),
    )
    min_participants = WholeNumber(required=True, minimum=1, maximum=32)
    quorum = WholeNumber(required=True, minimum=1, maximum=32)
    ceiling_pence = Pence(required=True)


class GetRound(CommandSchema):
    """Which round."""

    round_id = Id(required=True)


class CloseRound(GetRound):
    """Which round to close."""


class ListRounds(PageRequest):
    """A page of all rounds."""


# --- requests: proposals ---


class CreateProposal(CommandSchema):
    """A new draft for a round, with as much of its content as there is."""

    round_id = Id(required=True)
    content = fields.Nested(ProposalDraft, required=True)


class CheckContent(CommandSchema):
    """A content to be checked as if it were submitted for a round; whatever it is, it is answered, not refused."""

    round_id = Id(required=True)
    content = Table(required=True, validate=validate.Length(max=MAX_CONTENT_FIELDS, error="Give at most {max} fields."))


class GetProposal(CommandSchema):
    """Which proposal."""

    proposal_id = Id(required=True)


class UpdateProposal(GetProposal):
    """The new content of a draft in place of the old, as much of it as there is.

    ``expected_revision`` is the ``draft_version`` that the change starts from.
    """

    content = fields.Nested(ProposalDraft, required=True)
    expected_revision = _revision()


class SubmitProposal(GetProposal):
    """Which proposal to hand in."""


class WithdrawProposal(GetProposal):
    """Which proposal to take back, and why."""

    reason = _reason()


class CheckEligibility(GetProposal):
    """Which proposal to check."""


class GetRevision(GetProposal):
    """Which frozen revision of which proposal."""

    revision = _revision()


class ConfirmParticipation(GetRevision):
    """Which revision the caller's council stands behind."""


class DeclineParticipation(GetRevision):
    """Which revision the caller's council does not stand behind, and why."""

    reason = _reason()


class ListProposals(PageRequest):
    """A page of the proposals that the caller may know of; ``council`` leads or takes part."""

    state = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf([state.value for state in State], error="Choose one of: {choices}."),
    )
    round_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)


# --- requests: assessment and decision ---


class DeclareConflict(GetProposal):
    """The proposal in which the caller has an interest, and which."""

    reason = _reason()


class Score(Schema):
    """How well a revision meets a criterion, from 0, not at all, to 10, fully; and why."""

    criterion = Key(required=True)
    score = WholeNumber(required=True, minimum=0, maximum=MAX_SCORE)
    justification = Text(required=True, max_length=REASON_LENGTH, lines=True)


class SubmitAssessment(GetRevision):
    """A score for every criterion of the round."""

    scores = Items(fields.Nested(Score), required=True, validate=validate.Length(min=1, max=20))


class ListAssessments(PageRequest):
    """A page of a proposal's assessments, of all its revisions."""

    proposal_id = Id(required=True)


class RequestChanges(GetProposal):
    """The proposal to send back to its lead council, and what should change."""

    reason = _reason()


class Determine(GetRevision):
    """What the panel decided on a revision, and its minute."""

    outcome = fields.String(
        required=True, validate=validate.OneOf(["approved", "rejected"], error="Choose one of: {choices}.")
    )
    minute = Text(required=True, max_length=MINUTE_LENGTH, lines=True)


# --- answers ---


class RoundView(Schema):
    """A round; ``state`` is ``planned``, ``open``, ``closed`` or ``decided``."""

    round_id = Id()
    reference = fields.String()
    title = fields.String()
    state = fields.String()
    opens_on = Day()
    closes_on = Day()
    criteria = fields.List(fields.Nested(Criterion))
    min_participants = fields.Integer()
    quorum = fields.Integer()
    ceiling_pence = fields.Integer()
    opened_at = Moment()
    opened_by = fields.String()
    closed_at = Moment(allow_none=True)
    closed_by = fields.String(allow_none=True)
    version = fields.Integer()


class RoundPage(Schema):
    """A page of rounds."""

    items = fields.List(fields.Nested(RoundView))
    next_cursor = fields.String(allow_none=True)


class Confirmation(Schema):
    """A council that takes part and what it said: ``awaited``, ``confirmed`` or ``declined``; the lead comes first."""

    council = fields.String()
    state = fields.String(attribute="answer")
    by = fields.String(attribute="answered_by", allow_none=True)
    at = Moment(attribute="answered_at", allow_none=True)
    reason = fields.String(allow_none=True)


class ChangeRequestView(Schema):
    """What the panel asked to change in the current revision."""

    revision = fields.Integer()
    reason = fields.String()
    requested_at = Moment()
    requested_by = fields.String()


class DecisionView(Schema):
    """What the panel determined."""

    revision = fields.Integer()
    outcome = fields.String()
    score = fields.String()
    minute = fields.String()
    decided_at = Moment()
    decided_by = fields.String()


class AwardView(Schema):
    """The award that the proposal was offered last, or was funded by: ``offered``, ``declined`` or ``funded``."""

    award_id = Id(attribute="id")
    state = fields.String()
    amount_pence = fields.Integer(allow_none=True)
    expires_on = Day(allow_none=True)
    project_id = Id(allow_none=True)
    reason = fields.String(allow_none=True)


class ProposalItem(Schema):
    """A proposal in a list: as it was last handed in, or its draft before that."""

    proposal_id = Id(attribute="id")
    reference = fields.String()
    round_id = Id()
    state = fields.String()
    revision = fields.Integer()
    title = fields.String()
    lead_council = fields.String()
    participants = fields.List(fields.String())
    requested_pence = fields.Integer(allow_none=True)


class ProposalPage(Schema):
    """A page of proposals."""

    items = fields.List(fields.Nested(ProposalItem))
    next_cursor = fields.String(allow_none=True)


class ProposalView(Schema):
    """A proposal.

    ``revision`` numbers what was last handed in, 0 before that; ``content_hash``, ``submitted_at`` and
    ``confirmations`` belong to it. ``draft_version`` numbers the draft. ``title``, ``participants`` and ``content`` are
    the draft's while the lead council works on it (shown to that council and the CDO), else the revision's.
    """

    proposal_id = Id()
    reference = fields.String()
    round_id = Id()
    state = fields.String()
    revision = fields.Integer()
    draft_version = fields.Integer()
    title = fields.String()
    lead_council = fields.String()
    participants = fields.List(fields.String())
    content = fields.Dict()
    content_hash = fields.String(allow_none=True)
    submitted_at = Moment(allow_none=True)
    confirmations = fields.List(fields.Nested(Confirmation))
    score = fields.String(allow_none=True)
    change_request = fields.Nested(ChangeRequestView, allow_none=True)
    decision = fields.Nested(DecisionView, allow_none=True)
    award = fields.Nested(AwardView, allow_none=True)
    withdrawn_at = Moment(allow_none=True)
    withdrawal_reason = fields.String(allow_none=True)
    created_at = Moment()
    created_by = fields.String()
    version = fields.Integer()


class RulesView(Schema):
    """The rules that a revision is held to: those of its round when the proposal was created."""

    criteria = fields.List(fields.Nested(Criterion))
    min_participants = fields.Integer()
    quorum = fields.Integer()
    ceiling_pence = fields.Integer()


class RevisionView(Schema):
    """A revision as it was handed in; ``content_hash`` is the SHA-256 of its canonical JSON."""

    proposal_id = Id()
    reference = fields.String()
    revision = fields.Integer()
    content = fields.Dict()
    content_hash = fields.String()
    rules = fields.Nested(RulesView)
    submitted_at = Moment()
    submitted_by = fields.String()
    confirmations = fields.List(fields.Nested(Confirmation))
    change_request = fields.Nested(ChangeRequestView, allow_none=True)
    decision = fields.Nested(DecisionView, allow_none=True)


class RuleView(Schema):
    """One rule of eligibility: whether it is met, `null` while that cannot be told; and why, or what to do."""

    rule = fields.String()
    met = fields.Boolean(allow_none=True)
    sentence = fields.String()


class ProblemView(Schema):
    """One thing that is missing or wrong in a content, and how it is written."""

    path = fields.String()
    sentence = fields.String()


class CheckView(Schema):
    """Everything that is missing or wrong in a content, and every rule of eligibility, as of today."""

    eligible = fields.Boolean()
    as_of = Day()
    problems = fields.List(fields.Nested(ProblemView))
    rules = fields.List(fields.Nested(RuleView))


class EligibilityView(CheckView):
    """Every rule, as of today for a draft, else as of the day on which the revision was handed in."""

    proposal_id = Id()
    reference = fields.String()


class ConflictView(Schema):
    """A declared conflict of interest."""

    proposal_id = Id()
    person = fields.String()
    reason = fields.String()
    declared_at = Moment()


class AssessmentView(Schema):
    """An assessment; ``total`` is out of 100. One that does not count was set aside for a conflict of interest."""

    assessment_id = Id()
    proposal_id = Id()
    revision = fields.Integer()
    assessor = fields.String()
    council = fields.String(allow_none=True)
    scores = fields.List(fields.Nested(Score))
    total = fields.String()
    counts = fields.Boolean()
    submitted_at = Moment()


class AssessmentPage(Schema):
    """A page of assessments."""

    items = fields.List(fields.Nested(AssessmentView))
    next_cursor = fields.String(allow_none=True)
