"""Sign-off: a council keeps its confirmation exactly when its part is what it confirmed."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proposals.domain.comparison import compare
from services.proposals.domain.sign_off import MAX_REASONS, Parts, Request, Word, councils_of, requests
from services.proposals.domain.states import Answer
from tests.support.contents import LEAD, OTHERS, Content, contents, edited, histories
from tests.support.proposals import ABERDEENSHIRE, EAST_DUNBARTONSHIRE, EDINBURGH, GLASGOW, content

FEW = settings(max_examples=80, deadline=None)
CONFIRMED, DECLINED, AWAITED = Word(Answer.CONFIRMED), Word(Answer.DECLINED), Word(Answer.AWAITED)


def part(of: Content, council: str) -> Any:
    """What a council stands behind, written down once more and in another way than the service does it."""
    if council not in (of["lead_council"], *of["participants"]):
        return None
    benefits = {}
    for benefit in of["benefits"]:
        owns = benefit["owner_council"] == council
        targets = {
            (target["period"], target["council"]): target["value"]
            for target in benefit["targets"]
            if owns or target["council"] == council
        }
        if owns or targets:
            benefits[benefit["key"]] = {**benefit, "targets": targets}
    return {
        "leads": of["lead_council"] == council,
        "asked": (of["requested_pence"], of["match_funding_pence"]),
        "costs": {
            (cost["year"], cost["category"], cost.get("council")): cost["amount_pence"]
            for cost in of["costs"]
            if cost.get("council") in (None, council)
        },
        "benefits": benefits,
    }


@FEW
@given(st.tuples(contents(), contents()) | contents().flatmap(lambda one: st.tuples(st.just(one), edited(one))))
def test_a_part_is_the_same_when_no_change_touches_it(pair: tuple[Content, Content]) -> None:
    before, after = map(Parts, pair)
    touched = {council for change in compare(*pair) for council in councils_of(change, before, after)}
    for council in (LEAD, *OTHERS):
        assert (council in touched) == (part(pair[0], council) != part(pair[1], council)), council


@dataclass
class _Sponsor:
    """A council's sponsor, who remembers only what they said themselves."""

    said: Word | None = None
    seen: Any = None


@dataclass
class _Proposal:
    """A proposal whose revisions are answered as chance has it."""

    contents: list[Content] = field(default_factory=list)
    history: dict[int, dict[str, Word]] = field(default_factory=dict)

    def hand_in(self, new: Content) -> list[Request]:
        found = requests(new, self.history, lambda number: self.contents[number - 1])
        self.contents.append(new)
        self.history[len(self.contents)] = {
            new["lead_council"]: CONFIRMED,
            **{
                each.council: Word(Answer.CONFIRMED, each.carried_from) if each.carried_from else AWAITED
                for each in found
            },
        }
        return found


@FEW
@given(histories(), st.data())
def test_a_confirmation_is_kept_exactly_when_the_part_is_the_confirmed_one(
    revisions: list[Content], data: st.DataObject
) -> None:
    proposal, sponsors = _Proposal(), {council: _Sponsor() for council in OTHERS}
    for number, new in enumerate(revisions, 1):
        for council in set(OTHERS) - set(new["participants"]):
            sponsors[council] = _Sponsor()
        for request in proposal.hand_in(new):
            sponsor = sponsors[request.council]
            keeps = sponsor.said == CONFIRMED and sponsor.seen == part(new, request.council)
            assert (request.carried_from is not None) == keeps
            if request.carried_from is not None:
                given_to = proposal.contents[request.carried_from - 1]
                assert proposal.history[request.carried_from][request.council] == CONFIRMED, "somebody gave it there"
                assert part(given_to, request.council) == part(new, request.council), "and saw what it stands for"
                assert request.because == ()
            else:
                assert bool(request.because) == (number > 1), "whoever is asked again is told why"
            # Also those whose confirmation was kept may answer.
            said = data.draw(st.sampled_from([None, CONFIRMED, CONFIRMED, DECLINED]))
            if said is not None:
                proposal.history[number][request.council] = said
                sponsors[request.council] = _Sponsor(said, part(new, request.council))


def _costlier() -> Content:
    new = content(requested_pence=28_000_000)
    new["costs"][1]["amount_pence"] = 15_000_000
    return new


def _asked(history: dict[int, dict[str, Word]], *revisions: Content) -> dict[str, tuple[int | None, tuple[str, ...]]]:
    """What the last of the contents means for each participant, as (carried from, because)."""
    found = requests(revisions[-1], history, lambda number: revisions[number - 1])
    return {each.council: (each.carried_from, each.because) for each in found}


def test_a_first_revision_asks_everybody() -> None:
    assert _asked({}, content()) == {ABERDEENSHIRE: (None, ()), EAST_DUNBARTONSHIRE: (None, ())}


def test_titles_texts_and_dates_ask_nobody() -> None:
    new = content(title="Other", problem="Other", user_need="Other", objectives=["collaboration"])
    new["milestones"][0] |= {"due_on": "2027-03-31", "title": "Alpha"}
    history = {1: {EDINBURGH: CONFIRMED, ABERDEENSHIRE: CONFIRMED, EAST_DUNBARTONSHIRE: CONFIRMED}}
    assert _asked(history, content(), new) == {ABERDEENSHIRE: (1, ()), EAST_DUNBARTONSHIRE: (1, ())}


def test_whoever_is_asked_again_is_told_why() -> None:
    new = _costlier()
    new["participants"].append(GLASGOW)
    history = {1: {EDINBURGH: CONFIRMED, ABERDEENSHIRE: CONFIRMED, EAST_DUNBARTONSHIRE: DECLINED}}
    changed = (
        "The amount requested changed from £250,000 to £280,000.",
        "The common cost changed: licences in 2027-28 from £120,000 to £150,000.",
    )
    assert _asked(history, content(), new) == {
        ABERDEENSHIRE: (None, changed),
        EAST_DUNBARTONSHIRE: (None, ("It declined revision 1.",)),
        GLASGOW: (None, ("It did not take part in revision 1.",)),
    }
    history[1][ABERDEENSHIRE] = AWAITED
    assert _asked(history, content(), new)[ABERDEENSHIRE] == (None, ("It has not answered revision 1.",))


def test_what_falls_on_one_council_asks_that_one_alone() -> None:
    costs = [{**cost, "council": council} for cost, council in zip(content()["costs"], _PARTICIPANTS, strict=True)]
    dearer = [costs[0], {**costs[1], "amount_pence": 15_000_000}]
    history = {1: {EDINBURGH: CONFIRMED, ABERDEENSHIRE: CONFIRMED, EAST_DUNBARTONSHIRE: CONFIRMED}}
    assert _asked(history, content(costs=costs), content(costs=dearer)) == {
        ABERDEENSHIRE: (1, ()),
        EAST_DUNBARTONSHIRE: (None, ("Its cost changed: licences in 2027-28 from £120,000 to £150,000.",)),
    }
    targets = [{"period": "2027-Q3", "council": council, "value": "5"} for council in (EDINBURGH, *_PARTICIPANTS)]
    more = [*targets[:2], {**targets[2], "value": "6"}]
    one, other = ([{**content()["benefits"][0], "targets": each}] for each in (targets, more))
    because = "Its benefit changed: “Fewer payments taken by phone”, target of East Dunbartonshire for 2027-Q3"
    assert _asked(history, content(benefits=one), content(benefits=other)) == {
        ABERDEENSHIRE: (1, ()),
        EAST_DUNBARTONSHIRE: (None, (f"{because} from £5 to £6.",)),
    }


_PARTICIPANTS = (ABERDEENSHIRE, EAST_DUNBARTONSHIRE)


def test_a_kept_confirmation_stays_that_of_the_revision_in_which_it_was_given() -> None:
    history = {
        1: dict.fromkeys(_PARTICIPANTS, CONFIRMED),
        2: dict.fromkeys(_PARTICIPANTS, Word(Answer.CONFIRMED, carried_from=1)),
    }
    second, third = content(title="Second"), content(title="Third")
    assert _asked(history, content(), second, third) == dict.fromkeys(_PARTICIPANTS, (1, ()))
    assert _asked(history, content(), second, _costlier())[ABERDEENSHIRE] == (
        None,
        (
            "It confirmed revision 1; its part has changed since then.",
            "The amount requested changed from £250,000 to £280,000.",
            "The common cost changed: licences in 2027-28 from £120,000 to £150,000.",
        ),
    )


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param(AWAITED, 1, id="who said nothing to the change stands by what they confirmed"),
        pytest.param(DECLINED, None, id="who declined the change is asked"),
        pytest.param(CONFIRMED, None, id="who confirmed the change has another part now"),
        pytest.param(None, None, id="who was left out and comes back is asked"),
    ],
)
def test_a_change_that_is_taken_back(answer: Word | None, kept: int | None) -> None:
    history = {1: {ABERDEENSHIRE: CONFIRMED}, 2: {ABERDEENSHIRE: answer} if answer else {}}
    found, because = _asked(history, content(), _costlier(), content(title="As it was"))[ABERDEENSHIRE]
    assert found == kept
    assert bool(because) == (kept is None)


def test_reasons_are_few() -> None:
    costs = [{"year": f"20{year}-{year + 1}", "category": "staff", "amount_pence": year} for year in range(26, 40)]
    history = {1: {ABERDEENSHIRE: CONFIRMED}}
    more = [{**cost, "amount_pence": 1} for cost in costs]
    _, because = _asked(history, content(costs=costs), content(costs=more))[ABERDEENSHIRE]
    assert len(because) == MAX_REASONS
    assert because[-1] == "5 more changes touch its part; compare_revisions lists them."
