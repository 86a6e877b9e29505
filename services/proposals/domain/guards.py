"""What must hold before something is done to a proposal: each guard says it in a line, or raises what forbids it.

The line is what the documentation shows. :mod:`.lifecycle` has which step asks which guards.
"""

from collections.abc import Callable

from services.proposals.domain.cases import Attempt, Case
from services.proposals.domain.states import Answer
from shared import councils
from shared.errors import Conflict, Forbidden

#: Assessments of one revision, at most: three for each of the 32 councils, and a few more.
MAX_ASSESSMENTS = 100

Guard = Callable[[Case, Attempt], None]


def draft_is_current(case: Case, attempt: Attempt) -> None:
    """The caller has seen the draft as it stands."""
    if attempt.draft_version != case.draft_version:
        raise Conflict(
            "stale_draft",
            f"Somebody has changed the draft of {case.reference}: it is at version {case.draft_version} now. "
            "Read it again, then repeat your request with that number.",
            {"expected_revision": [f"The draft is at version {case.draft_version}."]},
        )


def draft_is_current_if_told(case: Case, attempt: Attempt) -> None:
    """The caller has seen the draft as it stands, or does not say which one."""
    if attempt.draft_version is not None:
        draft_is_current(case, attempt)


def eligible(case: Case, attempt: Attempt) -> None:
    """Every rule of eligibility is met."""
    assert attempt.eligibility is not None, "eligibility must be worked out before a submission"
    unmet = [rule for rule in attempt.eligibility if not rule.met]
    if unmet:
        at_fault = {rule.rule: [rule.sentence] for rule in unmet}
        for rule in unmet:
            at_fault |= {f"content.{path}".rstrip("."): list(said) for path, said in rule.problems.items()}
        # Of what waits for something else the rule about that says enough.
        reasons = " ".join(rule.sentence for rule in unmet if rule.met is not None)
        raise Conflict("not_eligible", f"{case.reference} cannot be submitted: {reasons}", at_fault)


def revision_is_current(case: Case, attempt: Attempt) -> None:
    """The caller has seen the current revision."""
    if attempt.revision != case.revision:
        raise Conflict(
            "stale_revision",
            f"{case.reference} is at revision {case.revision} now. Read that one, then repeat with its number.",
            {"revision": [f"The current revision is {case.revision}."]},
        )


def answer_is_awaited(case: Case, attempt: Attempt) -> None:
    """The caller's council takes part and has not answered yet."""
    answer = case.answers.get(attempt.council or "")
    if answer is None:
        raise Forbidden("not_a_participant", f"Your council does not take part in {case.reference}.")
    # A carried answer was given to an earlier revision, so it keeps nobody from answering this one.
    if answer != Answer.AWAITED and attempt.council not in case.carried:
        raise Conflict(
            "already_answered",
            f"{councils.name_of(attempt.council or '')} has already {answer} revision {case.revision} of "
            f"{case.reference}; the answer stands until there is a new revision.",
        )


def everybody_confirmed(case: Case, attempt: Attempt) -> None:
    """Every council that takes part stands behind the revision."""
    if not case.all_confirmed:
        raise Conflict(
            "not_confirmed", f"Not every council has confirmed revision {case.revision} of {case.reference}."
        )


def disinterested(case: Case, attempt: Attempt) -> None:
    """The caller has no interest in the proposal."""
    interest = case.interest_of(attempt.subject, attempt.council)
    if interest is not None:
        raise Forbidden("conflict_of_interest", interest)


def content_is_what_was_read(case: Case, attempt: Attempt) -> None:
    """The hash that the caller names, if any, is that of the revision."""
    if attempt.content_hash not in (None, case.content_hash):
        raise Conflict(
            "other_content",
            f"What you looked at is not revision {case.revision} of {case.reference}, whose content has the hash "
            f"{case.content_hash}. Read it with get_revision, then decide on what it says.",
            {"content_hash": [f"The content of revision {case.revision} has the hash {case.content_hash}."]},
        )


def panel_is_disinterested(case: Case, attempt: Attempt) -> None:
    """Nobody on the panel has an interest in the proposal."""
    reasons = {
        f"panel.{place}": reason
        for place, (person, council) in enumerate(attempt.panel)
        if (reason := case.interest_of(person, council, name=person)) is not None
    }
    if reasons:
        raise Forbidden(
            "conflict_of_interest",
            "The panel decides without those who have an interest. " + " ".join(reasons.values()),
            {place: [reason] for place, reason in reasons.items()},
        )


def not_declared_before(case: Case, attempt: Attempt) -> None:
    """The caller has not declared it before."""
    if attempt.subject in case.conflicted:
        raise Conflict("already_declared", f"You have already declared a conflict of interest in {case.reference}.")


def not_assessed_before(case: Case, attempt: Attempt) -> None:
    """The caller has not assessed the revision before."""
    if attempt.subject in case.assessors:
        raise Conflict(
            "already_assessed",
            f"You have already assessed revision {case.revision} of {case.reference}; an assessment stands as given.",
        )


def quorum_reached(case: Case, attempt: Attempt) -> None:
    """The quorum of assessments is reached."""
    if len(case.counted) < case.quorum:
        raise Conflict(
            "no_quorum",
            f"{case.reference} has {len(case.counted)} of the {case.quorum} assessments that a decision needs; "
            "ask the assessors for theirs first.",
        )


def has_room(case: Case, attempt: Attempt) -> None:
    """The revision has fewer than a hundred assessments."""
    if len(case.assessors) >= MAX_ASSESSMENTS:
        raise Conflict(
            "enough_assessments",
            f"Revision {case.revision} of {case.reference} has {MAX_ASSESSMENTS} assessments and takes no more; the "
            "panel can decide on these.",
        )


def has_not_moderated(case: Case, attempt: Attempt) -> None:
    """The caller has not moderated the revision."""
    if attempt.subject in case.moderators:
        raise Forbidden(
            "knows_the_scores",
            f"You moderated revision {case.revision} of {case.reference} and know what the others found, so somebody "
            "else must assess it.",
        )


def own_scores_given(case: Case, attempt: Attempt) -> None:
    """The caller, if an assessor as well, has assessed the revision."""
    if attempt.assesses and attempt.subject not in case.assessors:
        raise Forbidden(
            "own_scores_first",
            f"You are an assessor as well: give your own scores of revision {case.revision} of {case.reference} first, "
            "or leave this to a chair who does not assess.",
        )


def not_moderated_before(case: Case, attempt: Attempt) -> None:
    """These assessments have no moderation note yet."""
    if case.moderated:
        raise Conflict(
            "already_moderated",
            f"{case.reference} has a moderation note on these assessments; say what else there is to say in the "
            "decision's minute.",
        )


def moderated_if_wide(case: Case, attempt: Attempt) -> None:
    """Assessments that are far apart have a moderation note."""
    if case.wide_spread and not case.moderated:
        raise Conflict(
            "moderation_needed",
            f"The assessments of {case.reference} are far apart. Read get_assessment_summary, talk to the assessors, "
            "and put into a note, with moderate, why the panel can decide on them; then repeat this.",
        )
