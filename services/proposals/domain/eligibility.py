"""Eligibility: whether a proposal may be submitted, with a sentence per rule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.proposals.domain.rounds import RoundRules, Window
from shared.councils import name_of
from shared.money import format_pounds


@dataclass(frozen=True)
class Rule:
    """What one rule of eligibility says about a proposal.

    :param rule: the rule's name, for programs.
    :param met: whether the proposal meets it.
    :param sentence: why it does, or what to do so that it will.
    """

    rule: str
    met: bool
    sentence: str


def taking_part(content: Mapping[str, Any]) -> list[str]:
    """Return every council that takes part, the lead first."""
    return [content["lead_council"], *content["participants"]]


def check(
    content: Mapping[str, Any],
    rules: RoundRules,
    window: Window,
    members: Collection[str],
    at: datetime,
    *,
    asked_for: bool = False,
    handed_in: bool = False,
) -> list[Rule]:
    """Return every rule of eligibility, met or not, in the order in which people read them.

    :param content: the proposal's content as JSON; sound in itself.
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
        _round_open(window, at, asked_for, handed_in),
        _councils_are_members(content, members, at),
        _enough_participants(content, rules),
        _under_ceiling(content, rules),
        _costs_add_up(content),
        _tranches_add_up(content),
        _benefits_measurable(content),
    ]


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


def _councils_are_members(content: Mapping[str, Any], members: Collection[str], at: datetime) -> Rule:
    strangers = [name_of(council) for council in taking_part(content) if council not in members]
    if strangers:
        sentence = (
            f"Not a member of a pool on {at.date()}: {', '.join(strangers)}. Let them join first, or leave them out."
        )
    else:
        sentence = f"Every council that takes part is a member of a pool on {at.date()}."
    return Rule("councils_are_members", not strangers, sentence)


def _enough_participants(content: Mapping[str, Any], rules: RoundRules) -> Rule:
    number, needed = len(taking_part(content)), rules.min_participants
    sentence = f"Taking part, the lead council included: {number}. The round asks for {needed} or more."
    if number < needed:
        sentence += " Bring more councils in."
    return Rule("enough_participants", number >= needed, sentence)


def _under_ceiling(content: Mapping[str, Any], rules: RoundRules) -> Rule:
    requested, ceiling = content["requested_pence"], rules.ceiling_pence
    sentence = f"Requested is {format_pounds(requested)}; the round's ceiling is {format_pounds(ceiling)}."
    if requested > ceiling:
        sentence += f" Ask for {format_pounds(requested - ceiling)} less."
    return Rule("under_ceiling", requested <= ceiling, sentence)


def _costs_add_up(content: Mapping[str, Any]) -> Rule:
    costs = sum(cost["amount_pence"] for cost in content["costs"])
    requested, matched = content["requested_pence"], content["match_funding_pence"]
    sentence = (
        f"The costs add up to {format_pounds(costs)}; {format_pounds(requested)} requested and "
        f"{format_pounds(matched)} of match funding make {format_pounds(requested + matched)}."
    )
    return _sums_agree("costs_add_up", costs, requested + matched, sentence)


def _tranches_add_up(content: Mapping[str, Any]) -> Rule:
    tranches = sum(milestone["tranche_pence"] for milestone in content["milestones"])
    requested = content["requested_pence"]
    sentence = f"The tranches add up to {format_pounds(tranches)}; requested is {format_pounds(requested)}."
    return _sums_agree("tranches_add_up", tranches, requested, sentence)


def _sums_agree(rule: str, one: int, other: int, sentence: str) -> Rule:
    return Rule(rule, one == other, sentence if one == other else sentence + " Make the two agree.")


def _benefits_measurable(content: Mapping[str, Any]) -> Rule:
    lacking = [benefit["title"] for benefit in content["benefits"] if not _is_measurable(benefit)]
    if lacking:
        sentence = f"Give a baseline, targets, an owner and a way to measure it for: {', '.join(lacking)}."
    else:
        sentence = "Every benefit has a baseline, targets, an owner and a way to measure it."
    return Rule("benefits_measurable", not lacking, sentence)


def _is_measurable(benefit: Mapping[str, Any]) -> bool:
    return all(benefit.get(part) for part in ("baseline", "targets", "owner_council", "measure", "unit", "frequency"))
