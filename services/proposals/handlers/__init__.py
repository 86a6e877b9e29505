"""The use cases: ``(session, principal, command)`` to what the caller sees; ``(session, event)`` for events."""

from services.proposals.handlers.assessing import (
    declare_conflict,
    determine,
    list_assessments,
    request_changes,
    submit_assessment,
)
from services.proposals.handlers.checking import check_content
from services.proposals.handlers.mirroring import (
    mirror_award_declined,
    mirror_award_offered,
    mirror_member_joined,
    mirror_project_funded,
)
from services.proposals.handlers.proposing import (
    check_eligibility,
    confirm_participation,
    create_proposal,
    decline_participation,
    get_proposal,
    get_revision,
    list_proposals,
    submit_proposal,
    update_proposal,
    withdraw_proposal,
)
from services.proposals.handlers.rounds import close_round, get_round, list_rounds, open_round

__all__ = [
    "check_content",
    "check_eligibility",
    "close_round",
    "confirm_participation",
    "create_proposal",
    "declare_conflict",
    "decline_participation",
    "determine",
    "get_proposal",
    "get_revision",
    "get_round",
    "list_assessments",
    "list_proposals",
    "list_rounds",
    "mirror_award_declined",
    "mirror_award_offered",
    "mirror_member_joined",
    "mirror_project_funded",
    "open_round",
    "request_changes",
    "submit_assessment",
    "submit_proposal",
    "update_proposal",
    "withdraw_proposal",
]
