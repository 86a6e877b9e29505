"""What each field of an event means.

A name means the same wherever it stands; where it does not, it is written with its schema: ``Schema.field``.
"""

import inspect

from marshmallow import Schema

MEANINGS: dict[str, str] = {
    "achieved_on": "The day on which the milestone was achieved.",
    "amount_pence": "The sum, in pence.",
    "approved_at": "When it was approved.",
    "assessed_at": "When the assessment came in that made the score what it is.",
    "assessments": "How many assessments count.",
    "attribution_percent": "The part of what remains after deadweight that is the project's own doing, in percent.",
    "award_id": "The award.",
    "bank_reference": "What the bank statement calls the payment; no two receipts of a pool share it.",
    "baseline": "Where the measure stood before the project.",
    "benefits": "What the project is for, each measured.",
    "category": "What the money is spent on.",
    "ceiling_pence": "The most that a proposal of the round may ask for, in pence.",
    "certified_at": "When the value was certified.",
    "closed_at": "When the round was closed.",
    "closes_on": "The last day on which the round takes proposals.",
    "confirmed_at": "When the sponsor confirmed.",
    "content": "The proposal as it was frozen in the revision.",
    "content_hash": "SHA-256 of the revision's content, in hexadecimal: tells whether two contents are the same.",
    "costs": "What the project costs: per financial year and category.",
    "council": "The council that this is about.",
    "criteria": "What proposals are scored by; the weights add up to 100.",
    "deadweight_percent": "The part of the benefit that would have come without the project, in percent.",
    "declined_at": "When it was declined.",
    "denominator": "What a percentage is a part of. Goes with percentages only.",
    "direction": "Where the measure should go.",
    "due_on": "The day by which it is due.",
    "ends_on": "The last day.",
    "expires_on": "The last day on which the offer can be accepted.",
    "first_due_on": "The day on which the first report is due.",
    "frequency": "How often it is reported, and so how its periods are written.",
    "funded_at": "When the award was accepted, which is when the project was funded.",
    "indicator": "The key of the benefit that is measured.",
    "indicators": "How many indicators the plan has.",
    "joins_on": "The first day of the membership.",
    "key": "The name by which others refer to it; no two of one list share it.",
    "kind": "What kind of benefit it is; savings alone are certified by Section 95 officers.",
    "last_due_on": "The day on which the last report is due.",
    "lead_council": "The council that leads and answers for the money.",
    "match_funding_pence": "What the councils add themselves, in pence.",
    "measure": "What kind of figure the values are.",
    "milestone": "The milestone's key.",
    "milestones": "The steps of the project, and the tranche of the award that each unlocks.",
    "min_participants": "The fewest councils that a proposal may have, the lead counted.",
    "minute": "What the panel put on record with its decision.",
    "name": "The name for people.",
    "numerator": "The part that a percentage counts. Goes with percentages only.",
    "objectives": "Which aims of the programme it serves.",
    "on": "The day of the value.",
    "opens_on": "The first day on which the round takes proposals.",
    "optimism_bias_percent": "What is taken off forecasts for being too hopeful, in percent.",
    "owner_council": "The council that answers for the benefit.",
    "paid_on": "The day of the payment.",
    "participants": "The other councils that take part.",
    "payment_reference": "What the bank statement calls the payment.",
    "period": "The reporting period: 2026-10 is a month, 2026-Q3 a financial quarter, 2026-27 a financial year.",
    "period_id": "The reporting period of one indicator and one council.",
    "periods": "How many reporting periods the plan has, over all indicators and councils.",
    "plan_id": "The tracking plan.",
    "pool_id": "The pool.",
    "problem": "What is wrong today, and for whom.",
    "project_id": "The project, which is born when its award is accepted.",
    "proposal_id": "The proposal.",
    "proposal_reference": "The proposal's reference for people, such as P-2026-0007.",
    "quorum": "How many assessments a decision needs.",
    "reason": "Why, in the words of whoever did it.",
    "received_on": "The day on which the money arrived.",
    "reference": "The reference for people, such as P-2026-0007.",
    "rejected_at": "When the panel decided.",
    "reported_at": "When the value was reported.",
    "requested_at": "When the panel asked for changes.",
    "requested_pence": "What is asked of the pool, in pence.",
    "revision": "The number of the revision that this is about, from 1.",
    "round_id": "The round.",
    "score": "The weighted mean of the assessments that count, out of 100.",
    "source": "Where the value comes from.",
    "starts_on": "The first day.",
    "submitted_at": "When the revision was handed in.",
    "targets": "What each council means to reach, per period.",
    "title": "The title for people.",
    "tranche": "The tranche: the key of the milestone that unlocks it.",
    "tranche_pence": "What the milestone unlocks, in pence.",
    "unit": "The unit of the values.",
    "unpledged_pence": "The part of the sum that went beyond what was pledged, in pence.",
    "user_need": "What people need to be able to do.",
    "value": "The value in the benefit's unit.",
    "weight": "What the criterion weighs, in percent.",
    "withdrawn_at": "When the proposal was withdrawn.",
    "year": "The financial year.",
    "years": "The financial years that the pool covers.",
    "ProposalWithdrawn.revision": "The last revision that was handed in; 0 if none was.",
    "TrackingPlanCreated.milestones": "How many milestones the plan has.",
}


def purpose_of(schema: type[Schema]) -> str:
    """Return what a schema is for: its docstring, with Markdown's quotes."""
    return (inspect.getdoc(schema) or "").replace("``", "`")


def meaning_of(schema: Schema, name: str) -> str:
    """Return what a field of a schema means. :raises KeyError: when nothing here says it."""
    meaning = MEANINGS.get(f"{type(schema).__name__}.{name}") or MEANINGS.get(name)
    if meaning is None:
        raise KeyError(f"Say in docs/generate/glossary.py what {name} of {type(schema).__name__} means.")
    return meaning
