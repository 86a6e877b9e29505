"""The RPC surface: what callers send and what they get back. A request is named after its method."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from services.proposals.domain import rounds
from services.proposals.domain.guards import MAX_ASSESSMENTS
from services.proposals.domain.scoring import MAX_SCORE
from services.proposals.domain.states import State
from shared import clock
from shared.events.proposals import MAX_PANEL, Criterion, PanelMember
from shared.fields import CommandSchema, Day, Gss, Id, Items, Key, Moment, Pence, Table, Text, WholeNumber
from shared.proposal_content import ProposalDraft
from shared.storage.paging import PageRequest

REASON_LENGTH = 2000
MINUTE_LENGTH = 4000
MAX_QUERY_LENGTH = 200
#: Fields that a content may have to be checked: some more than there are, because those are told.
MAX_CONTENT_FIELDS = 1000


def _revision() -> WholeNumber:
    return WholeNumber(required=True, minimum=1, maximum=1_000_000)


def _reason() -> Text:
    return Text(required=True, max_length=REASON_LENGTH, lines=True)


# --- requests: rounds ---


class _Terms(CommandSchema):
    """Terms of a round. A request that is refused for single fields is told what is wrong with the whole as well."""

    def handle_error(self, error: ValidationError, data: Any, **kwargs: Any) -> None:
        super().handle_error(error, data, **kwargs)
        messages, valid = error.normalized_messages(), error.valid_data
        assert isinstance(valid, dict), "a request is one object"
        sound = {term: value for term, value in valid.items() if term not in messages}
        error.messages = messages | rounds.problems_of(sound, clock.today())


def _criteria(**kwargs: Any) -> Items:
    number = validate.Length(min=1, max=20, error="Give at least one criterion, and at most {max}.")
    return Items(fields.Nested(Criterion), validate=number, **kwargs)


class OpenRound(_Terms):
    """A round to announce; ``opens_on`` and ``closes_on`` are both days on which it takes proposals."""

    title = Text(required=True, max_length=200)
    opens_on = Day(required=True)
    closes_on = Day(required=True)
    criteria = _criteria(required=True)
    min_participants = WholeNumber(required=True, minimum=1, maximum=32)
    quorum = WholeNumber(required=True, minimum=1, maximum=32)
    ceiling_pence = Pence(required=True)


class GetRound(CommandSchema):
    """Which round."""

    round_id = Id(required=True)


class ChangeRound(_Terms):
    """Which terms of a round to change, to what and why; ``expected_version`` is the ``version`` that this starts from.

    A planned round may change in everything, an open one in everything but its first day, a closed one in nothing.
    What was handed in before keeps the rules that it was handed in under.
    """

    round_id = Id(required=True)
    expected_version = WholeNumber(required=True, minimum=0, maximum=1_000_000)
    reason = _reason()
    title = Text(max_length=200, load_default=None)
    opens_on = Day(load_default=None)
    closes_on = Day(load_default=None)
    criteria = _criteria(load_default=None)
    min_participants = WholeNumber(minimum=1, maximum=32, load_default=None)
    quorum = WholeNumber(minimum=1, maximum=32, load_default=None)
    ceiling_pence = Pence(load_default=None)


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
    """Which proposal to hand in; ``expected_revision`` is the ``draft_version`` that the caller looked at.

    Whoever names it never hands in what a colleague has changed in the meantime.
    """

    expected_revision = WholeNumber(load_default=None, allow_none=True, minimum=1, maximum=1_000_000)


class WithdrawProposal(GetProposal):
    """Which proposal to take back, and why."""

    reason = _reason()


class CheckEligibility(GetProposal):
    """Which proposal to check."""


class GetRevision(GetProposal):
    """Which frozen revision of which proposal."""

    revision = _revision()


class CompareRevisions(PageRequest, GetProposal):
    """Two revisions in either order; without ``to_revision`` the other is the draft, for those who see it."""

    from_revision = _revision()
    to_revision = WholeNumber(load_default=None, allow_none=True, minimum=1, maximum=1_000_000)


class ConfirmParticipation(GetRevision):
    """Which revision the caller's council stands behind."""


class DeclineParticipation(GetRevision):
    """Which revision the caller's council does not stand behind, and why."""

    reason = _reason()


class FindSimilar(GetProposal):
    """The proposal, which may be a draft, that others could be like."""


class CountProposals(GetRound):
    """The round whose proposals to count."""


class ListProposals(PageRequest):
    """A page of the proposals that the caller may know of, which meet every condition that is given.

    ``council`` leads or takes part. ``text`` is a reference, such as P-2026-0007, or words, of which every one is among
    those of the title, the need and problem, and the benefits' titles, in whatever form: payment finds payments.
    """

    state = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf([state.value for state in State], error="Choose one of: {choices}."),
    )
    round_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)
    text = Text(load_default=None, allow_none=True, max_length=MAX_QUERY_LENGTH)


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


class GetAssessmentSummary(GetProposal):
    """Which proposal, and which revision of it; the current one unless it is given."""

    revision = WholeNumber(minimum=1, maximum=1_000_000, load_default=None, allow_none=True)


class Moderate(GetRevision):
    """The panel's note on the assessments of a revision: why they are far apart, and why it can decide on them.

    ``assessments``, the ids of those that the note was written on, makes sure that none has been added or set aside
    since.
    """

    note = Text(required=True, max_length=MINUTE_LENGTH, lines=True)
    assessments = Items(
        Id(),
        load_default=None,
        allow_none=True,
        distinct=True,
        validate=validate.Length(max=MAX_ASSESSMENTS, error="Name at most {max} assessments."),
    )


class RequestChanges(GetProposal):
    """The proposal to send back to its lead council, and what should change."""

    reason = _reason()


class Determine(GetRevision):
    """What the panel decided on a revision, and its minute.

    ``content_hash``, that of what the panel looked at, makes sure that it is this revision's. ``panel`` names who sat;
    the caller, who chairs it, is on it anyway.
    """

    outcome = fields.String(
        required=True, validate=validate.OneOf(["approved", "rejected"], error="Choose one of: {choices}.")
    )
    minute = Text(required=True, max_length=MINUTE_LENGTH, lines=True)
    content_hash = Text(max_length=64, load_default=None, allow_none=True)
    panel = Items(
        fields.Nested(PanelMember),
        load_default=None,
        allow_none=True,
        distinct=("person",),
        validate=validate.Length(max=MAX_PANEL, error="Name at most {max} people beside the chair."),
    )


# --- answers ---


class RoundItem(Schema):
    """A round in a list; ``state`` is ``planned``, ``open``, ``closed`` or ``decided``."""

    round_id = Id()
    reference = fields.String()
    title = fields.String()
    state = fields.String()
    opens_on = Day()
    closes_on = Day()
    closes_at = Moment()
    criteria = fields.List(fields.Nested(Criterion))
    min_participants = fields.Integer()
    quorum = fields.Integer()
    ceiling_pence = fields.Integer()
    opened_at = Moment()
    opened_by = fields.String()
    closed_at = Moment(allow_none=True)
    closed_by = fields.String(allow_none=True)
    version = fields.Integer()


class SomeTerms(Schema):
    """Those terms of a round that a change was about."""

    title = fields.String()
    opens_on = Day()
    closes_on = Day()
    criteria = fields.List(fields.Nested(Criterion))
    min_participants = fields.Integer()
    quorum = fields.Integer()
    ceiling_pence = fields.Integer()


class RoundChangeView(Schema):
    """A change of a round's terms; ``version`` is the round's after it."""

    version = fields.Integer()
    before = fields.Nested(SomeTerms)
    after = fields.Nested(SomeTerms)
    reason = fields.String()
    changed_at = Moment()
    changed_by = fields.String()


class RoundView(RoundItem):
    """A round with the last hundred changes of its terms, oldest first."""

    changes = fields.List(fields.Nested(RoundChangeView))


class RoundPage(Schema):
    """A page of rounds."""

    items = fields.List(fields.Nested(RoundItem))
    next_cursor = fields.String(allow_none=True)


class Confirmation(Schema):
    """A council that takes part and what it said: ``awaited``, ``confirmed`` or ``declined``; the lead comes first.

    A confirmation is carried from the revision in which it was given to the next one, when the council's part is the
    same in both. Otherwise the council is asked again, and ``asked_because`` says why.
    """

    council = fields.String()
    state = fields.String(attribute="answer")
    by = fields.String(attribute="answered_by", allow_none=True)
    at = Moment(attribute="answered_at", allow_none=True)
    reason = fields.String(allow_none=True)
    carried_from = fields.Integer(allow_none=True)
    asked_because = fields.List(fields.String())


class ChangeRequestView(Schema):
    """What the panel asked to change in the current revision."""

    revision = fields.Integer()
    reason = fields.String()
    requested_at = Moment()
    requested_by = fields.String()


class DecisionView(Schema):
    """What the panel determined, on which content, and who sat, the chair first.

    ``spread``, ``wide_spread``, ``moderated`` and ``panel`` are null in decisions of before they were kept.
    """

    revision = fields.Integer()
    outcome = fields.String()
    content_hash = fields.String()
    score = fields.String()
    spread = fields.String(allow_none=True)
    wide_spread = fields.Boolean(allow_none=True)
    moderated = fields.Boolean(allow_none=True)
    minute = fields.String()
    decided_at = Moment()
    decided_by = fields.String()
    panel = fields.List(fields.Nested(PanelMember), allow_none=True)


class AwardView(Schema):
    """The award that the proposal was offered last, or was funded by, and where it stands.

    ``offered``, ``declined``, ``lapsed``, ``funded``, ``completed`` or ``terminated``.
    """

    award_id = Id(attribute="id")
    state = fields.String()
    amount_pence = fields.Integer(allow_none=True)
    expires_on = Day(allow_none=True)
    project_id = Id(allow_none=True)
    reason = fields.String(allow_none=True)


class ProposalItem(Schema):
    """A proposal in a list: as it was last handed in, or its draft before that.

    ``score`` is shown of what is decided, and to the CDO; ``get_proposal`` shows it to others who may see it earlier.
    """

    proposal_id = Id(attribute="id")
    reference = fields.String()
    round_id = Id()
    state = fields.String()
    revision = fields.Integer()
    title = fields.String()
    lead_council = fields.String()
    participants = fields.List(fields.String())
    requested_pence = fields.Integer(allow_none=True)
    submitted_at = Moment(allow_none=True)
    score = fields.String(allow_none=True)


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
    spread = fields.String(allow_none=True)
    wide_spread = fields.Boolean(allow_none=True)
    change_request = fields.Nested(ChangeRequestView, allow_none=True)
    decision = fields.Nested(DecisionView, allow_none=True)
    award = fields.Nested(AwardView, allow_none=True)
    withdrawn_at = Moment(allow_none=True)
    withdrawal_reason = fields.String(allow_none=True)
    created_at = Moment()
    created_by = fields.String()
    version = fields.Integer()


class SharedWord(Schema):
    """A word of both proposals, as the one that is asked about writes it, and the fields of either in which it stands.

    The fields are ``title``, ``need`` (with the problem) and ``benefits`` (their titles).
    """

    word = fields.String()
    stands_in = fields.List(fields.String())


class SimilarProposal(Schema):
    """A proposal that was handed in and is like the one that is asked about; its content is not told.

    ``score`` is from 25, worth a look, to 100, the same words. ``sentence`` gives the reason in the words that count
    most.
    """

    proposal_id = Id()
    reference = fields.String()
    round_id = Id()
    state = fields.String()
    title = fields.String()
    lead_council = fields.String()
    participants = fields.List(fields.String())
    score = fields.Integer()
    shared_words = fields.List(fields.Nested(SharedWord))
    sentence = fields.String()


class SimilarView(Schema):
    """The proposals that are like one, the most similar first, at most ten."""

    proposal_id = Id()
    reference = fields.String()
    similar = fields.List(fields.Nested(SimilarProposal))


class SubmittedView(ProposalView):
    """A proposal that was just handed in, and those that are like it, of any council and round: join, do not repeat.

    The most similar come first, at most ten; ``find_similar`` tells them before the submission too.
    """

    similar = fields.List(fields.Nested(SimilarProposal))


class StateCount(Schema):
    """How many proposals are in a state."""

    state = fields.String()
    proposals = fields.Integer()


class ProposalCounts(Schema):
    """The proposals of a round that the caller may know of: how many, and how many in each state, also where none."""

    round_id = Id()
    total = fields.Integer()
    states = fields.List(fields.Nested(StateCount))


class RulesView(Schema):
    """The rules that a revision is held to: those of its round when the proposal was first handed in."""

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


class ChangeView(Schema):
    """A field, or a whole item of a list, that was ``added``, ``removed`` or ``changed``.

    ``councils`` are those whose part it touches. A new revision asks those again whose part it changes.
    """

    path = fields.String()
    kind = fields.String()
    before = fields.Raw(allow_none=True)
    after = fields.Raw(allow_none=True)
    sentence = fields.String()
    councils = fields.List(fields.String())


class SignOffView(Schema):
    """What handing the draft in now means for a council: the revision whose confirmation it keeps, if any.

    One that keeps none is asked, and ``asked_because`` says why.
    """

    council = fields.String()
    carried_from = fields.Integer(allow_none=True)
    asked_because = fields.List(fields.String(), attribute="because")


class ComparisonView(Schema):
    """What differs between two revisions, or a revision and the draft: a page of changes, and how many there are.

    Items of lists are matched by what identifies them, so a mere reordering is no change, though it changes the hash.
    ``to_revision`` is null for the draft, of which ``sign_off`` says which councils would be asked again.
    """

    proposal_id = Id()
    reference = fields.String()
    from_revision = fields.Integer()
    from_hash = fields.String()
    to_revision = fields.Integer(allow_none=True)
    to_hash = fields.String()
    draft_version = fields.Integer(allow_none=True)
    changes = fields.Integer()
    items = fields.List(fields.Nested(ChangeView))
    next_cursor = fields.String(allow_none=True)
    sign_off = fields.List(fields.Nested(SignOffView), allow_none=True)


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


class ModerationView(Schema):
    """A moderation note, and the ids of the assessments that it is on: those that counted when it was written."""

    moderation_id = Id(attribute="id")
    proposal_id = Id()
    revision = fields.Integer()
    note = fields.String()
    assessments = fields.List(fields.String())
    moderated_at = Moment()
    moderated_by = fields.String()


class CriterionSummary(Schema):
    """How a criterion was scored by the assessments that count; null below the quorum."""

    criterion = fields.String()
    title = fields.String()
    weight = fields.Integer()
    mean = fields.String(allow_none=True)
    lowest = fields.Integer(allow_none=True)
    highest = fields.Integer(allow_none=True)
    spread = fields.Integer(allow_none=True)
    wide = fields.Boolean(allow_none=True)


class AssessmentTotal(Schema):
    """What one assessment comes to, out of 100. One that does not count was set aside for a conflict of interest."""

    assessment_id = Id(attribute="id")
    assessor = fields.String()
    council = fields.String(allow_none=True)
    total = fields.String()
    counts = fields.Boolean()


class AssessmentSummaryView(Schema):
    """What the assessments of a revision come to, and how far apart they are; oldest first.

    ``score``, ``spread`` and ``wide_spread`` are null below the quorum. Where the spread is wide the panel decides once
    ``moderated`` is true: there is a note on the very assessments that count.
    """

    proposal_id = Id()
    reference = fields.String()
    revision = fields.Integer()
    quorum = fields.Integer()
    assessments = fields.List(fields.Nested(AssessmentTotal))
    score = fields.String(allow_none=True)
    spread = fields.String(allow_none=True)
    wide_spread = fields.Boolean(allow_none=True)
    criteria = fields.List(fields.Nested(CriterionSummary))
    moderated = fields.Boolean()
    moderations = fields.List(fields.Nested(ModerationView))
