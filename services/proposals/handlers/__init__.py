"""The use cases: ``(session, principal, command)`` to what the caller sees; ``(session, event)`` for events.

``(session, row, now)`` is for what the service does by itself.
"""

from services.proposals.handlers.assessing import (
    declare_conflict,
    get_assessment_summary,
    list_assessments,
    submit_assessment,
)
from services.proposals.handlers.checking import check_content
from services.proposals.handlers.comparing import compare_revisions
from services.proposals.handlers.finding import count_proposals, find_similar, list_proposals
from services.proposals.handlers.mirroring import (
    mirror_award_declined,
    mirror_award_lapsed,
    mirror_award_offered,
    mirror_award_terminated,
    mirror_member_joined,
    mirror_member_left,
    mirror_project_completed,
    mirror_project_funded,
)
from services.proposals.handlers.panel import determine, moderate, request_changes
from services.proposals.handlers.proposing import (
    check_eligibility,
    confirm_participation,
    create_proposal,
    decline_participation,
    get_proposal,
    get_revision,
    submit_proposal,
    update_proposal,
    withdraw_proposal,
)
from services.proposals.handlers.rounds import (
    begin_round,
    change_round,
    close_round,
    close_round_that_is_over,
    get_round,
    list_rounds,
    open_round,
    rounds_to_begin,
    rounds_to_close,
)

__all__ = [
    "begin_round",
    "change_round",
    "check_content",
    "check_eligibility",
    "close_round",
    "close_round_that_is_over",
    "compare_revisions",
    "confirm_participation",
    "count_proposals",
    "create_proposal",
    "declare_conflict",
    "decline_participation",
    "determine",
    "find_similar",
    "get_assessment_summary",
    "get_proposal",
    "get_revision",
    "get_round",
    "list_assessments",
    "list_proposals",
    "list_rounds",
    "mirror_award_declined",
    "mirror_award_lapsed",
    "mirror_award_offered",
    "mirror_award_terminated",
    "mirror_member_joined",
    "mirror_member_left",
    "mirror_project_completed",
    "mirror_project_funded",
    "moderate",
    "open_round",
    "request_changes",
    "rounds_to_begin",
    "rounds_to_close",
    "submit_assessment",
    "submit_proposal",
    "update_proposal",
    "withdraw_proposal",
]
