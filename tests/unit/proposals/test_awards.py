"""What became of awards does not depend on the order in which it is heard, nor on how often."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain.awards import BEFORE, NEWS, AwardState, further, outcome_of
from services.proposals.domain.lifecycle import Action
from shared.errors import Conflict

#: Every life that an award can have, from its offer on.
LIVES = (
    ("offered",),
    ("offered", "declined"),
    ("offered", "lapsed"),
    ("offered", "funded"),
    ("offered", "funded", "completed"),
    ("offered", "funded", "terminated"),
)
lives = st.sampled_from(LIVES).map(lambda life: [AwardState(state) for state in life])


def heard(news: list[AwardState]) -> AwardState:
    """Where an award stands once all of some news are in; a new one counts as offered."""
    known = AwardState.OFFERED
    for state in news:
        known = further("a-1", known, state)
    return known


@given(lives, st.data())
def test_a_life_is_put_together_from_news_in_any_order(life: list[AwardState], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(life), max_size=4))
    assert heard(data.draw(st.permutations([*life, *repeated]))) == life[-1]


@given(lives, st.data())
def test_news_that_are_still_on_their_way_only_lead_on(life: list[AwardState], data: st.DataObject) -> None:
    order = data.draw(st.permutations(life))
    seen = [heard(order[: number + 1]) for number in range(len(order))]
    assert [life.index(state) for state in seen] == sorted(life.index(state) for state in seen)


@given(lives, lives)
def test_two_lives_are_never_one(life: list[AwardState], other: list[AwardState]) -> None:
    together = [*life, *other]
    if set(life) <= set(other) or set(other) <= set(life):
        assert heard(together) == max(life, other, key=len)[-1]
        return
    with pytest.raises(Conflict, match=f"Award a-1 is {life[-1]} here and cannot be") as error:
        heard(together)
    assert error.value.code == "award_contradicted"


@given(st.lists(st.sampled_from(AwardState), min_size=1, max_size=4))
def test_what_became_of_several_awards_does_not_depend_on_their_order(awards: list[AwardState]) -> None:
    assert len({outcome_of(order) for order in permutations(awards)}) == 1


def test_every_state_of_an_award_means_something_for_its_proposal() -> None:
    assert set(NEWS) == set(AwardState)
    assert set(BEFORE) == set(AwardState) - {AwardState.OFFERED}


@pytest.mark.parametrize(
    ("awards", "meaning"),
    [
        (["declined", "offered"], Action.NOTE_OFFER),
        (["terminated", "offered"], Action.NOTE_OFFER),
        (["terminated", "funded"], Action.NOTE_FUNDING),
        (["lapsed", "declined"], Action.NOTE_REFUSAL),
        (["declined", "completed"], Action.NOTE_COMPLETION),
    ],
)
def test_of_several_awards_the_one_that_is_furthest_alive_counts(awards: list[str], meaning: Action) -> None:
    assert NEWS[outcome_of(awards)] == meaning
