"""Requests and answers of the funding service's RPC methods."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from services.funding.allocation import Scheme
from services.funding.domain.awards import AwardState
from services.funding.domain.bank_statements import MAX_LETTERS
from services.funding.domain.instructions import InstructionState
from services.funding.domain.receipts import ReceiptFlag
from shared.fields import (
    MAX_PENCE,
    CommandSchema,
    Day,
    FinancialYear,
    Gss,
    Id,
    Key,
    Moment,
    Pence,
    Table,
    Text,
    WholeNumber,
)
from shared.spreadsheet import CSV
from shared.storage.paging import PageRequest

MAX_VERSION = 1_000_000
#: The largest number that a transaction of a pool may have.
MAX_NUMBER = 2**31 - 1


def _one_of(
    choices: type[Scheme] | type[AwardState] | type[InstructionState] | type[ReceiptFlag],
) -> validate.OneOf:
    return validate.OneOf([str(choice) for choice in choices], error="Choose one of: {choices}.")


def _format() -> fields.String:
    return fields.String(load_default="json", validate=validate.OneOf(["json", CSV], error="Choose one of: {choices}."))


# --- pools ----------------------------------------------------------------------------------------------------------


class CreatePool(CommandSchema):
    """Open a pool for one to five whole financial years: from a 1 April to a 31 March."""

    name = Text(required=True, max_length=200)
    starts_on = Day(required=True)
    ends_on = Day(required=True)


class AddMember(CommandSchema):
    """Make a council a member of a pool from a day on."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    joins_on = Day(required=True)


class RemoveMember(CommandSchema):
    """Let a council's membership of a pool end; ``leaves_on`` is its last day."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    leaves_on = Day(required=True)


class RefundLeaver(CommandSchema):
    """Ask that a council that has left is refunded its part of what is available, by a payment of that reference."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    payment_reference = Text(load_default=None, allow_none=True, max_length=64)


class SetContributions(CommandSchema):
    """Say what a pool's members pay together for a financial year; ``fixed`` gives pence by GSS code."""

    pool_id = Id(required=True)
    year = FinancialYear(required=True)
    total_pence = Pence(required=True)
    scheme = fields.String(required=True, validate=_one_of(Scheme))
    fixed = Table(
        keys=Gss(),
        values=Pence(minimum=0),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=32, error="Name each council once; there are {max}."),
    )


class AddContribution(CommandSchema):
    """Say what a council pays for a financial year whose contributions are set, beside the others."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    year = FinancialYear(required=True)
    amount_pence = Pence(required=True)


class RecordReceipt(CommandSchema):
    """Record that a council's money arrived. A bank reference counts once in a pool."""

    pool_id = Id(required=True)
    council = Gss(required=True)
    amount_pence = Pence(required=True)
    bank_reference = Text(required=True, max_length=64)
    received_on = Day(required=True)


class ListReceipts(PageRequest):
    """Name a pool and a page of its receipts; choose by council, by the year of the day on which they came, by flag."""

    pool_id = Id(required=True)
    council = Gss(load_default=None, allow_none=True)
    year = FinancialYear(load_default=None, allow_none=True)
    flag = fields.String(load_default=None, allow_none=True, validate=_one_of(ReceiptFlag))


class GetPool(CommandSchema):
    """Name a pool, and a day if it is also to be shown as it was at the end of that day."""

    pool_id = Id(required=True)
    as_at = Day(load_default=None, allow_none=True)


class AboutYear(CommandSchema):
    """Name a financial year of a pool."""

    pool_id = Id(required=True)
    year = FinancialYear(required=True)


class GetYear(AboutYear):
    """Name the financial year whose figures are to be read."""


class CloseYear(AboutYear):
    """Ask that a financial year's figures are settled, so that nothing is dated in it any more."""


class ReverseTransaction(CommandSchema):
    """Ask that a transaction is taken back, named by its number, as of ``effective_on`` or else of today."""

    pool_id = Id(required=True)
    number = WholeNumber(required=True, minimum=1, maximum=MAX_NUMBER)
    reason = Text(required=True, max_length=2000, lines=True)
    effective_on = Day(load_default=None, allow_none=True)


class ListTransactions(PageRequest):
    """Name a pool and a page of its ledger; choose by effective date, kind, project, council.

    With ``format`` ``csv`` all that is chosen comes as one file, a row per posting, and there are no pages.
    """

    pool_id = Id(required=True)
    effective_from = Day(load_default=None, allow_none=True)
    effective_to = Day(load_default=None, allow_none=True)
    kind = Text(load_default=None, allow_none=True, max_length=32)
    project_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)
    format = _format()


class VerifyLedger(CommandSchema):
    """Name the pool whose ledger is to be checked."""

    pool_id = Id(required=True)


class MembershipView(Schema):
    """From when to when a council is a member; ``leaves_on`` is null while nobody has said that it leaves."""

    joins_on = Day()
    leaves_on = Day(allow_none=True)


class MemberView(MembershipView):
    """A council and its last membership. The sums are null for those who may not see them.

    ``earlier`` has its memberships before that one. ``pledged_pence`` is what the council has agreed to pay and not yet
    paid, ``received_pence`` what it has paid, less what it was refunded.
    """

    council = Gss()
    name = fields.String()
    earlier = fields.List(fields.Nested(MembershipView))
    pledged_pence = Pence(minimum=0, allow_none=True)
    received_pence = Pence(minimum=0, allow_none=True)


class PositionView(Schema):
    """Where the money is: what was received is available, reserved, committed or paid."""

    pledged_pence = Pence(minimum=0)
    available_pence = Pence(minimum=0)
    reserved_pence = Pence(minimum=0)
    committed_pence = Pence(minimum=0)
    paid_pence = Pence(minimum=0)
    received_pence = Pence(minimum=0)


class PoolView(Schema):
    """A pool, its members and where its money is."""

    pool_id = Id()
    name = fields.String()
    starts_on = Day()
    ends_on = Day()
    years = fields.List(FinancialYear())
    members = fields.List(fields.Nested(MemberView))
    position = fields.Nested(PositionView)
    version = WholeNumber(minimum=0, maximum=MAX_VERSION)


class SignedPositionView(PositionView):
    """Where the money was. ``pledged_pence`` is below zero when money came before the day on which it was pledged."""

    pledged_pence = Pence(minimum=-MAX_PENCE)
    available_pence = Pence(minimum=-MAX_PENCE)
    reserved_pence = Pence(minimum=-MAX_PENCE)
    committed_pence = Pence(minimum=-MAX_PENCE)
    paid_pence = Pence(minimum=-MAX_PENCE)
    received_pence = Pence(minimum=-MAX_PENCE)


class MemberSumsView(Schema):
    """A council's sums at the end of a day; null for those who may not see them."""

    council = Gss()
    pledged_pence = Pence(minimum=-MAX_PENCE, allow_none=True)
    received_pence = Pence(minimum=-MAX_PENCE, allow_none=True)


class AsAtView(Schema):
    """A pool at the end of a day: all that is recorded by now, counted from its effective date on."""

    on = Day()
    position = fields.Nested(SignedPositionView)
    members = fields.List(fields.Nested(MemberSumsView))


class ProjectionView(Schema):
    """A pool's money as it is foreseen for the end of a financial year; nothing of it has happened.

    ``balance_pence`` is the money in the pool now, which is available, reserved and committed, with the pledges that
    are due by then and less the unpaid tranches that are due by then. What can still be offered is
    ``uncommitted_pence``: what is available now, with those pledges.
    """

    year = FinancialYear()
    ends_on = Day()
    pledges_due_pence = Pence(minimum=0)
    tranches_due_pence = Pence(minimum=0)
    offers_due_pence = Pence(minimum=0)
    balance_pence = Pence(minimum=-MAX_PENCE)
    balance_if_accepted_pence = Pence(minimum=-MAX_PENCE)
    uncommitted_pence = Pence(minimum=0)


class PoolInTimeView(PoolView):
    """A pool, its members, where its money is and what is foreseen of it; and how it stood on a day, if asked."""

    as_at = fields.Nested(AsAtView, allow_none=True)
    projected = fields.List(fields.Nested(ProjectionView))


class FileView(Schema):
    """A file: write its text in UTF-8, line ends as they are."""

    filename = fields.String()
    content_type = fields.String()
    text = fields.String()


class ShareView(Schema):
    """What one council pays for a financial year, less what was cancelled."""

    council = Gss()
    name = fields.String()
    amount_pence = Pence(minimum=0, attribute="pledged_pence")


class ContributionsView(Schema):
    """What the members of a pool pay for a financial year."""

    pool_id = Id()
    year = FinancialYear()
    scheme = fields.String()
    total_pence = Pence(minimum=0, attribute="pledged_pence")
    shares = fields.List(fields.Nested(ShareView))


class ReceiptView(Schema):
    """A council's money that arrived, and how it stands to the pledge.

    The ``flag`` is ``exact`` for the whole of one year or more, ``partial`` when something of a year is still owed,
    ``over`` when a part went beyond what was pledged, and ``unpledged`` when all of it did. Pledges are settled in the
    order of their years.
    """

    receipt_id = Id(attribute="id")
    pool_id = Id()
    council = Gss()
    amount_pence = Pence()
    unpledged_pence = Pence(minimum=0)
    still_owed_pence = Pence(minimum=0)
    flag = fields.String()
    bank_reference = fields.String()
    received_on = Day()
    recorded_by = fields.String()
    recorded_at = Moment()


class ReceiptPage(Schema):
    """A page of receipts, in the order in which they were recorded."""

    items = fields.List(fields.Nested(ReceiptView))
    next_cursor = fields.String(allow_none=True)


class FiguresView(Schema):
    """What a financial year, or the pool's whole time, has brought.

    ``closing_pence``, which is carried forward, is what it opens with, and received and returned, less refunded and
    spent. Beside the money stand the pledges: ``outstanding_pence`` is what was outstanding before, and pledged, less
    settled. A reversal counts against what it takes back, so that a figure may be below zero.
    """

    opening_pence = Pence(minimum=-MAX_PENCE)
    received_pence = Pence(minimum=-MAX_PENCE)
    refunded_pence = Pence(minimum=-MAX_PENCE)
    spent_pence = Pence(minimum=-MAX_PENCE)
    returned_pence = Pence(minimum=-MAX_PENCE)
    closing_pence = Pence(minimum=-MAX_PENCE)
    outstanding_before_pence = Pence(minimum=-MAX_PENCE)
    pledged_pence = Pence(minimum=-MAX_PENCE)
    settled_pence = Pence(minimum=-MAX_PENCE)
    outstanding_pence = Pence(minimum=-MAX_PENCE)


class CouncilFiguresView(Schema):
    """A council's part of the pool's figures: those of its own statement."""

    council = Gss()
    name = fields.String()
    figures = fields.Nested(FiguresView)


class YearView(Schema):
    """A financial year's figures: those of the councils that the caller may see, and of the pool, which has the sums.

    They are those of the year's statements, and settled once the year is closed; until then ``closed_at`` is null.
    """

    pool_id = Id()
    year = FinancialYear()
    closed_at = Moment(allow_none=True)
    councils = fields.List(fields.Nested(CouncilFiguresView))
    total = fields.Nested(FiguresView)


class PostingView(Schema):
    """What a transaction added to an account's balance."""

    account = fields.String(attribute="account.name")
    amount_pence = Pence(minimum=-MAX_PENCE)


class AttributionView(Schema):
    """What a transaction costs a council, or gives back to it below zero."""

    council = Gss()
    amount_pence = Pence(minimum=-MAX_PENCE)


class TransactionView(Schema):
    """A transaction of the ledger; ``about`` leads back to what it is about.

    ``number`` is its place in the pool's chain and ``hash`` binds it to all before it. What a project is paid, or gives
    back, is attributed to the councils.
    """

    transaction_id = Id(attribute="id")
    number = fields.Integer()
    hash = fields.String(attribute="hash_in_hex")
    kind = fields.String()
    key = fields.String()
    effective_on = Day()
    recorded_at = Moment()
    author = fields.String()
    approver = fields.String(allow_none=True)
    about = fields.Dict(keys=fields.String(), values=fields.String())
    postings = fields.List(fields.Nested(PostingView))
    attributions = fields.List(fields.Nested(AttributionView))


class TransactionPage(Schema):
    """A page of the ledger, oldest first."""

    items = fields.List(fields.Nested(TransactionView))
    next_cursor = fields.String(allow_none=True)
    file = fields.Nested(FileView, allow_none=True)


class ProblemView(Schema):
    """A row of the ledger that is wrong: a transaction, an account, or the whole."""

    code = fields.String()
    message = fields.String()
    transaction_id = Id(allow_none=True)
    account = fields.String(allow_none=True)


class VerificationView(Schema):
    """What the check of a ledger looked at and found."""

    ok = fields.Boolean()
    transactions = fields.Integer()
    postings = fields.Integer()
    problems = fields.List(fields.Nested(ProblemView))


# --- statements -----------------------------------------------------------------------------------------------------


class PoolStatement(PageRequest):
    """Name a pool, and a financial year unless its whole time is meant.

    The lines come in pages; with ``format`` ``csv`` they come whole, as a file. ``upto_number`` makes the statement of
    the ledger as it was when that transaction was its last: the same statement again, whatever was recorded since.
    """

    pool_id = Id(required=True)
    year = FinancialYear(load_default=None, allow_none=True)
    upto_number = WholeNumber(minimum=0, maximum=MAX_NUMBER, load_default=None, allow_none=True)
    format = _format()


class CouncilStatement(PoolStatement):
    """Name a pool and a council of it, and a financial year unless its whole time is meant.

    The lines come in pages; with ``format`` ``csv`` they come whole, as a file. ``upto_number`` makes the statement of
    the ledger as it was when that transaction was its last: the same statement again, whatever was recorded since.
    """

    council = Gss(required=True)


class StatementLineView(Schema):
    """What one transaction did to one council's money, and to what is outstanding of its pledges."""

    line = fields.String(attribute="move.line")
    effective_on = Day(attribute="transaction.effective_on")
    number = fields.Integer(attribute="transaction.number")
    corrects = fields.Integer(allow_none=True)
    transaction_id = Id(attribute="transaction.id")
    kind = fields.String(attribute="transaction.kind")
    council = Gss()
    amount_pence = Pence(minimum=-MAX_PENCE, attribute="move.amount_pence")
    pledge_pence = Pence(minimum=-MAX_PENCE, attribute="move.pledge_pence")
    reference = fields.String(allow_none=True)
    project_id = Id(allow_none=True)
    award_reference = fields.String(allow_none=True)
    title = fields.String(allow_none=True)
    tranche = fields.String(allow_none=True)


class ProjectPartView(Schema):
    """What a project cost a council, and what came back of it."""

    council = Gss()
    spent_pence = Pence(minimum=-MAX_PENCE)
    returned_pence = Pence(minimum=-MAX_PENCE)


class ProjectShareView(Schema):
    """What a project cost, and what came back of it: to the council of the statement, or to all."""

    project_id = Id()
    award_reference = fields.String(allow_none=True)
    title = fields.String(allow_none=True)
    spent_pence = Pence(minimum=-MAX_PENCE)
    returned_pence = Pence(minimum=-MAX_PENCE)


class SharedProjectView(ProjectShareView):
    """What a project cost all councils, and what came back of it, with the part of each."""

    councils = fields.List(fields.Nested(ProjectPartView))


class StatementView(Schema):
    """What every statement has: whose ledger up to which transaction it was made of, figures, projects, lines.

    Both bounds are null when the statement is of the pool's whole time.
    """

    pool_id = Id()
    pool_name = fields.String()
    year = FinancialYear(allow_none=True)
    starts_on = Day(allow_none=True)
    ends_on = Day(allow_none=True)
    ledger_number = fields.Integer()
    ledger_hash = fields.String()
    figures = fields.Nested(FiguresView)
    projects = fields.List(fields.Nested(ProjectShareView))
    lines = fields.List(fields.Nested(StatementLineView))
    next_cursor = fields.String(allow_none=True)
    file = fields.Nested(FileView, allow_none=True)


class CouncilStatementView(StatementView):
    """A council's statement: its figures, its part of each project, and its lines in the order of time."""

    council = Gss()
    name = fields.String()


class PoolStatementView(StatementView):
    """A pool's statement: the figures of the councils add up to its own.

    ``position`` is where the money was at the end of the last day: what is available, reserved and committed adds up to
    ``closing_pence``.
    """

    position = fields.Nested(SignedPositionView)
    councils = fields.List(fields.Nested(CouncilFiguresView))
    projects = fields.List(fields.Nested(SharedProjectView))


# --- reconciliation -------------------------------------------------------------------------------------------------


class ReconcileBankStatement(CommandSchema):
    """Name a pool and give its bank's statement as CSV text, of at most 5,000 lines.

    The first line, or one of the first twenty, names the columns: date, reference, and amount, or paid in and paid out.
    It covers the days from its first line to its last, unless others are given.
    """

    pool_id = Id(required=True)
    statement = fields.String(
        required=True,
        validate=validate.Length(
            min=1, max=MAX_LETTERS, error="Give from {min} to {max} letters; send a shorter period."
        ),
    )
    starts_on = Day(load_default=None, allow_none=True)
    ends_on = Day(load_default=None, allow_none=True)

    @validates_schema
    def _check_days(self, data: dict[str, Any], **_: Any) -> None:
        starts_on, ends_on = data.get("starts_on"), data.get("ends_on")
        if starts_on and ends_on and ends_on < starts_on:
            raise ValidationError(f"Give the last day of the statement, {starts_on} or later.", "ends_on")


class BankLineView(Schema):
    """A line of the bank's statement."""

    line = fields.Integer()
    on = Day()
    reference = fields.String()
    amount_pence = Pence(minimum=-MAX_PENCE)
    description = fields.String(allow_none=True)


class BankRecordView(Schema):
    """What is recorded under a reference, its corrections included; or without one, as a leaver's refund is."""

    number = fields.Integer()
    on = Day()
    reference = fields.String(allow_none=True)
    amount_pence = Pence(minimum=-MAX_PENCE)
    kind = fields.String()


class BankPairView(Schema):
    """A line and what is recorded under its reference."""

    bank = fields.Nested(BankLineView, attribute="line")
    recorded = fields.Nested(BankRecordView, attribute="record")
    differs = fields.List(fields.String())


class MissingHereView(Schema):
    """A line whose reference is not recorded."""

    bank = fields.Nested(BankLineView, attribute="line")
    perhaps = fields.List(fields.Nested(BankRecordView))


class DuplicateLineView(Schema):
    """A line whose reference, and what is recorded under it, an earlier line has."""

    bank = fields.Nested(BankLineView, attribute="line")
    of_line = fields.Integer()


class UnreadableLineView(Schema):
    """A line that cannot be read; its money is in no sum."""

    line = fields.Integer()
    problems = fields.List(fields.String())


class BankGroupView(Schema):
    """Lines or records that fared alike, and what they add up to on each side."""

    count = fields.Integer()
    bank_pence = Pence(minimum=-MAX_PENCE)
    recorded_pence = Pence(minimum=-MAX_PENCE)


class BankPairsView(BankGroupView):
    """Lines with what is recorded under their references."""

    items = fields.List(fields.Nested(BankPairView))


class MissingHereGroupView(BankGroupView):
    """Lines whose references are not recorded."""

    items = fields.List(fields.Nested(MissingHereView))


class MissingThereGroupView(BankGroupView):
    """What is recorded for the period and stands in no line; at most 5,000 are listed, and all are counted."""

    items = fields.List(fields.Nested(BankRecordView))


class DuplicateGroupView(BankGroupView):
    """Lines that repeat others."""

    items = fields.List(fields.Nested(DuplicateLineView))


class ReconciliationView(Schema):
    """How a bank's statement and the books agree.

    Every line that can be read is in one group, and so is every record of the period or that a line names: the groups
    add up to ``bank_pence`` on the one side and ``recorded_pence`` on the other. Money out is below zero.
    """

    pool_id = Id()
    starts_on = Day(allow_none=True)
    ends_on = Day(allow_none=True)
    agrees = fields.Boolean()
    bank_pence = Pence(minimum=-MAX_PENCE)
    recorded_pence = Pence(minimum=-MAX_PENCE)
    matched = fields.Nested(BankPairsView)
    differing = fields.Nested(BankPairsView)
    missing_here = fields.Nested(MissingHereGroupView)
    missing_there = fields.Nested(MissingThereGroupView)
    duplicates = fields.Nested(DuplicateGroupView)
    unreadable = fields.List(fields.Nested(UnreadableLineView))
    ignored_columns = fields.List(fields.String())


# --- awards ---------------------------------------------------------------------------------------------------------


class ListCandidates(PageRequest):
    """Name a pool and a page of the approved proposals that wait for an award."""

    pool_id = Id(required=True)


class OfferAward(CommandSchema):
    """Offer an approved proposal what it requests; the council may accept until ``expires_on``, that day included."""

    pool_id = Id(required=True)
    proposal_id = Id(required=True)
    amount_pence = Pence(required=True)
    expires_on = Day(required=True)


class AboutAward(CommandSchema):
    """Name an award."""

    award_id = Id(required=True)


class ApproveAward(AboutAward):
    """Open an offer for acceptance, as the second person."""


class AcceptAward(AboutAward):
    """Take an offer for the lead council."""


class DeclineAward(AboutAward):
    """Turn an offer down for the lead council."""

    reason = Text(required=True, max_length=2000, lines=True)


class GetAward(AboutAward):
    """Name the award to read."""


class ListAwards(PageRequest):
    """Choose awards by pool, by a council that takes part, by state; and a page of them."""

    pool_id = Id(load_default=None, allow_none=True)
    council = Gss(load_default=None, allow_none=True)
    state = fields.String(load_default=None, allow_none=True, validate=_one_of(AwardState))


class CandidateView(Schema):
    """An approved proposal that waits for an award."""

    proposal_id = Id()
    reference = fields.String()
    title = fields.String()
    lead_council = Gss()
    participants = fields.List(Gss())
    requested_pence = Pence()
    score = fields.String()
    revision = WholeNumber(minimum=1, maximum=MAX_VERSION)
    approved_at = Moment()


class CandidatePage(Schema):
    """A page of candidates."""

    items = fields.List(fields.Nested(CandidateView))
    next_cursor = fields.String(allow_none=True)


class TrancheView(Schema):
    """A part of an award and its drawdown; the rejection is the last one."""

    tranche = Key(attribute="key")
    title = fields.String()
    due_on = Day()
    amount_pence = Pence()
    state = fields.String()
    achieved_on = Day(allow_none=True)
    evidence = fields.String(allow_none=True)
    requested_by = fields.String(allow_none=True)
    requested_at = Moment(allow_none=True)
    approved_by = fields.String(allow_none=True)
    approved_at = Moment(allow_none=True)
    rejected_by = fields.String(allow_none=True)
    rejected_at = Moment(allow_none=True)
    rejection_reason = fields.String(allow_none=True)
    payment_reference = fields.String(allow_none=True)
    paid_on = Day(allow_none=True)


class AwardView(Schema):
    """An award, its answers, and once accepted its project, its tranches, and how it ended.

    What was accepted is committed, paid, or released at the end; what came back of what was paid is told beside it.
    """

    award_id = Id(attribute="id")
    reference = fields.String()
    pool_id = Id()
    proposal_id = Id()
    proposal_reference = fields.String(attribute="candidate.reference")
    title = fields.String(attribute="candidate.title")
    lead_council = Gss()
    participants = fields.List(Gss(), attribute="candidate.participants")
    state = fields.String()
    amount_pence = Pence()
    committed_pence = Pence(minimum=0)
    paid_pence = Pence(minimum=0)
    returned_pence = Pence(minimum=0)
    clawed_back_pence = Pence(minimum=0)
    released_pence = Pence(minimum=0)
    expires_on = Day()
    offered_by = fields.String()
    offered_at = Moment()
    approved_by = fields.String(allow_none=True)
    approved_at = Moment(allow_none=True)
    accepted_by = fields.String(allow_none=True)
    accepted_at = Moment(allow_none=True)
    declined_by = fields.String(allow_none=True)
    declined_at = Moment(allow_none=True)
    decline_reason = fields.String(allow_none=True)
    lapsed_at = Moment(allow_none=True)
    completed_at = Moment(allow_none=True)
    terminated_at = Moment(allow_none=True)
    termination_reason = fields.String(allow_none=True)
    project_id = Id(allow_none=True)
    tranches = fields.List(fields.Nested(TrancheView))
    instructions = fields.List(fields.String(), attribute="instruction_references")
    version = WholeNumber(minimum=0, maximum=MAX_VERSION)


class AwardPage(Schema):
    """A page of awards, oldest first."""

    items = fields.List(fields.Nested(AwardView))
    next_cursor = fields.String(allow_none=True)


# --- drawdowns ------------------------------------------------------------------------------------------------------


class AboutTranche(AboutAward):
    """Name a tranche of an award by its milestone's key."""

    tranche = Key(required=True)


class RequestDrawdown(AboutTranche):
    """Ask for the payment of a tranche whose milestone is achieved."""

    evidence = Text(required=True, max_length=2000, lines=True)


class ApproveDrawdown(AboutTranche):
    """Let a requested tranche be paid, as the second person."""


class RejectDrawdown(AboutTranche):
    """Send a request back to the lead council."""

    reason = Text(required=True, max_length=2000, lines=True)


class RecordPayment(AboutTranche):
    """Record that an approved tranche was paid. A payment reference counts once in a pool."""

    payment_reference = Text(required=True, max_length=64)
    paid_on = Day(required=True)


class PaymentView(Schema):
    """A tranche that left the pool for the lead council."""

    payment_id = Id(attribute="id")
    pool_id = Id()
    award_id = Id()
    tranche = Key()
    amount_pence = Pence()
    payment_reference = fields.String()
    paid_on = Day()
    recorded_by = fields.String()
    recorded_at = Moment()


# --- money that comes back, and the ends of awards ------------------------------------------------------------------


class ReturnUnderspend(AboutAward):
    """Ask to record that money of a project that was not spent has come back; received today, unless a day is named.

    A bank reference counts once in a pool.
    """

    amount_pence = Pence(required=True)
    bank_reference = Text(load_default=None, allow_none=True, max_length=64)
    received_on = Day(load_default=None, allow_none=True)


class ClawBack(ReturnUnderspend):
    """Ask to record that money which the pool demanded back has come; the demand itself is a letter, and not kept here.

    A bank reference counts once in a pool.
    """

    reason = Text(required=True, max_length=2000, lines=True)


class CompleteProject(AboutAward):
    """Ask to end a project that has done what it was funded for."""


class TerminateAward(AboutAward):
    """Ask to end a project early."""

    reason = Text(required=True, max_length=2000, lines=True)


# --- instructions ---------------------------------------------------------------------------------------------------


class AboutInstruction(CommandSchema):
    """Name an instruction."""

    instruction_id = Id(required=True)


class ApproveInstruction(AboutInstruction):
    """Carry an instruction out, as the second person."""


class RejectInstruction(AboutInstruction):
    """Turn an instruction down."""

    reason = Text(required=True, max_length=2000, lines=True)


class WithdrawInstruction(AboutInstruction):
    """Take one's own instruction back."""


class GetInstruction(AboutInstruction):
    """Name the instruction to read."""


class ListInstructions(PageRequest):
    """Name a pool, perhaps an award and a state, and a page of the instructions."""

    pool_id = Id(required=True)
    award_id = Id(load_default=None, allow_none=True)
    state = fields.String(load_default=None, allow_none=True, validate=_one_of(InstructionState))


class InstructionView(Schema):
    """A step that one person asks for and another one approves, which carries it out."""

    instruction_id = Id(attribute="id")
    reference = fields.String()
    pool_id = Id()
    award_id = Id(allow_none=True)
    kind = fields.String()
    arguments = fields.Dict(keys=fields.String())
    sentence = fields.String()
    state = fields.String()
    requested_by = fields.String()
    requested_at = Moment()
    approved_by = fields.String(allow_none=True)
    approved_at = Moment(allow_none=True)
    rejected_by = fields.String(allow_none=True)
    rejected_at = Moment(allow_none=True)
    rejection_reason = fields.String(allow_none=True)
    withdrawn_at = Moment(allow_none=True)
    result = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)


class InstructionPage(Schema):
    """A page of instructions, oldest first."""

    items = fields.List(fields.Nested(InstructionView))
    next_cursor = fields.String(allow_none=True)
