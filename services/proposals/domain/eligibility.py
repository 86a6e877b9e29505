"""Eligibility: whether a proposal may be submitted, with a sentence per rule.

A rule gives its verdict on what is there. Where that is not enough for one it says what it waits for, and is not met.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.proposals.domain.rounds import RoundRules, Window
from shared.councils import name_of
from shared.money import format_pounds

#: What a benefit is measured by, beside its baseline and its targets.
MEASURED_BY = ("owner_council", "measure", "unit", "frequency")
#: Names that a sentence lists, and letters of each; the problems themselves are all told.
MAX_NAMED = 8
MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Rule:
    """What one rule of eligibility says about a proposal.

    :param rule: the rule's name, for programs.
    :param met: whether the proposal meets it; None while that cannot be told, because something is missing or wrong.
    :param sentence: why it does, or what to do so that it will.
    :param problems: the paths in the content that it finds fault with, each with its sentences.
    """

    rule: str
    met: bool | None
    sentence: str
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)


def taking_part(content: Mapping[str, Any]) -> list[str]:
    """Return every council that takes part as far as they are named, the lead first."""
    lead = [content["lead_council"]] if "lead_council" in content else []
    return [*lead, *content.get("participants", ())]


def check(
    content: Mapping[str, Any],
    problems: Mapping[str, Sequence[str]],
    rules: RoundRules,
    window: Window,
    members: Collection[str],
    at: datetime,
    *,
    asked_for: bool = False,
    handed_in: bool = False,
) -> list[Rule]:
    """Return every rule of eligibility, met or not, in the order in which people read them.

    :param content: what is sound of the proposal's content; of a list of objects what is sound of each.
    :param problems: what is missing or wrong in the content by itself: the path of each with its sentences.
    :param rules: the rules that the proposal is held to.
    :param window: the window of its round.
    :param members: the councils that are members on the day.
    :param at: the moment of the submission.
    :param asked_for: whether the panel asked for this revision. Panels mostly sit after a round has closed, and what
        they ask for then must not fail on the closing day.
    :param handed_in: whether this is how it was, of a revision, rather than how it is: the round was open then, or the
        revision would not be there, and what it has become since is not held against it.
    """
    return [
        _content_complete(problems),
        _round_open(window, at, asked_for, handed_in),
        _councils_are_members(content, problems, members, at),
        _enough_participants(content, problems, rules),
        _under_ceiling(content, rules),
        _costs_add_up(content),
        _tranches_add_up(content),
        _benefits_measurable(content),
    ]


def _content_complete(problems: Mapping[str, Sequence[str]]) -> Rule:
    if problems:
        sentence = f"Missing or wrong: {_listed([path or 'the whole' for path in problems])}. Complete or correct them."
    else:
        sentence = "Everything that is asked for is there."
    return Rule("content_complete", not problems, sentence, problems)


def _round_open(window: Window, at: datetime, asked_for: bool, handed_in: bool) -> Rule:
    if asked_for:
        sentence = "The panel asked for this revision, so the round's last day does not bind it."
        return Rule("round_open", True, sentence)
    if handed_in:
        return Rule("round_open", True, f"{window.reference} was open when this was handed in.")
    if window.has_closed(at):
        sentence = f"{window.reference} closed on {window.closing} and takes no more proposals."
    elif not window.has_begun(at):
        sentence = f"{window.reference} opens on {window.opening}; submit from then on."
    else:
        sentence = f"{window.reference} is open until {window.closing}."
    return Rule("round_open", window.is_open(at), sentence)


def _councils_are_members(
    content: Mapping[str, Any], problems: Mapping[str, Any], members: Collection[str], at: datetime
) -> Rule:
    strangers = [name_of(council) for council in dict.fromkeys(taking_part(content)) if council not in members]
    if strangers:
        sentence = (
            f"Not a member of a pool on {at.date()}: {', '.join(strangers)}. Let them join first, or leave them out."
        )
    elif awaited := _unnamed(problems):
        return _not_yet("councils_are_members", awaited)
    else:
        sentence = f"Every council that takes part is a member of a pool on {at.date()}."
    return Rule("councils_are_members", not strangers, sentence)


def _enough_participants(content: Mapping[str, Any], problems: Mapping[str, Any], rules: RoundRules) -> Rule:
    number, needed = len(set(taking_part(content))), rules.min_participants
    if number < needed and (awaited := _unnamed(problems)):
        return _not_yet("enough_participants", awaited)
    sentence = f"Taking part, the lead council included: {number}. The round asks for {needed} or more."
    if number < needed:
        sentence += " Bring more councils in."
    return Rule("enough_participants", number >= needed, sentence)


def _under_ceiling(content: Mapping[str, Any], rules: RoundRules) -> Rule:
    if awaited := _absent(content, "requested_pence"):
        return _not_yet("under_ceiling", awaited)
    requested, ceiling = content["requested_pence"], rules.ceiling_pence
    sentence = f"Requested is {format_pounds(requested)}; the round's ceiling is {format_pounds(ceiling)}."
    if requested > ceiling:
        sentence += f" Ask for {format_pounds(requested - ceiling)} less."
    return Rule("under_ceiling", requested <= ceiling, sentence)


def _costs_add_up(content: Mapping[str, Any]) -> Rule:
    awaited = _absent(content, "requested_pence", "match_funding_pence") + _absent_in(content, "costs", "amount_pence")
    if awaited:
        return _not_yet("costs_add_up", awaited)
    costs = sum(cost["amount_pence"] for cost in content["costs"])
    requested, matched = content["requested_pence"], content["match_funding_pence"]
    sentence = (
        f"The costs add up to {format_pounds(costs)}; {format_pounds(requested)} requested and "
        f"{format_pounds(matched)} of match funding make {format_pounds(requested + matched)}."
    )
    return _sums_agree("costs_add_up", costs, requested + matched, sentence)


def _tranches_add_up(content: Mapping[str, Any]) -> Rule:
    awaited = _absent(content, "requested_pence") + _absent_in(content, "milestones", "tranche_pence")
    if awaited:
        return _not_yet("tranches_add_up", awaited)
    tranches = sum(milestone["tranche_pence"] for milestone in content["milestones"])
    requested = content["requested_pence"]
    sentence = f"The tranches add up to {format_pounds(tranches)}; requested is {format_pounds(requested)}."
    return _sums_agree("tranches_add_up", tranches, requested, sentence)


def _sums_agree(rule: str, one: int, other: int, sentence: str) -> Rule:
    return Rule(rule, one == other, sentence if one == other else sentence + " Make the two agree.")


def _benefits_measurable(content: Mapping[str, Any]) -> Rule:
    if not content.get("benefits"):
        return _not_yet("benefits_measurable", ["benefits"])
    lacking = [
        benefit.get("title") or f"number {number}"
        for number, benefit in enumerate(content["benefits"], start=1)
        if not _is_measurable(benefit)
    ]
    if lacking:
        sentence = f"Give a baseline, targets, an owner and a way to measure it for: {_listed(lacking)}."
    else:
        sentence = "Every benefit has a baseline, targets, an owner and a way to measure it."
    return Rule("benefits_measurable", not lacking, sentence)


def _is_measurable(benefit: Mapping[str, Any]) -> bool:
    baseline = benefit.get("baseline") or {}
    return (
        all(benefit.get(part) for part in MEASURED_BY)
        and all(baseline.get(part) for part in ("value", "on"))
        and all(target.get("value") for target in benefit.get("targets") or [{}])
    )


def _not_yet(rule: str, awaited: Sequence[str]) -> Rule:
    return Rule(rule, None, f"To be told once this is there and right: {_listed(awaited)}.")


def _unnamed(problems: Mapping[str, Any]) -> list[str]:
    """Return the places where who takes part is missing or wrong."""
    return [path for path in problems if path.partition(".")[0] in ("", "lead_council", "participants")]


def _absent(content: Mapping[str, Any], *names: str) -> list[str]:
    return [name for name in names if name not in content]


def _absent_in(content: Mapping[str, Any], name: str, part: str) -> list[str]:
    """Return where a part is missing from the objects in a list; the list itself when there is nothing in it."""
    items = content.get(name)
    if not items:
        return [name]
    return [f"{name}.{place}.{part}" for place, item in enumerate(items) if part not in item]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(name[:MAX_NAME_LENGTH] for name in names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
