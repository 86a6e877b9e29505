"""The life of a proposal: a walk over everything that can be tried in any order, and each guard by itself."""

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.proposals.domain.awards import NEWS, AwardState, further, outcome_of
from services.proposals.domain.cases import BY_ITSELF, Attempt, Case
from services.proposals.domain.content_hash import content_hash
from services.proposals.domain.eligibility import Rule
from services.proposals.domain.guards import MAX_ASSESSMENTS
from services.proposals.domain.lifecycle import INSTEAD, TRANSITIONS, Action, advance
from services.proposals.domain.states import DECIDED, EDITABLE, ONCE_APPROVED, UNDECIDED, Answer, State
from shared.errors import Conflict, Forbidden
from tests.support.proposals import ABERDEENSHIRE, EDINBURGH, GLASGOW, content

COUNCILS = (EDINBURGH, ABERDEENSHIRE)
PEOPLE = ("ailsa", "brodie")
#: Mostly the current revision, sometimes the one before it.
STALE = st.sampled_from([0, 0, 0, 1])
BEFORE_THE_DECISION = (State.DRAFT, *UNDECIDED)
MET = (Rule("round_open", True, "It is open."),)
UNMET = (Rule("round_open", False, "It closed on 2026-11-30."), Rule("under_ceiling", False, "Ask for less."))


def _case(state: State, **changes: Any) -> Case:
    known: dict[str, Any] = {
        "reference": "P-2026-0001",
        "state": state,
        "revision": 2,
        "draft_version": 3,
        "quorum": 2,
        "answers": dict.fromkeys(COUNCILS, Answer.CONFIRMED),
        "assessors": {"ailsa", "brodie"},
        **changes,
    }
    return Case(**known)


class LifeOfAProposal(RuleBasedStateMachine):
    """Tries every action in every state, and checks each answer against the design's own sentences."""

    @initialize(quorum=st.integers(1, 2), alone=st.booleans(), stage=st.integers(0, 4))
    def begin(self, quorum: int, alone: bool, stage: int) -> None:
        """Begin with a draft, and go some of the way: chance alone seldom comes as far as a decision."""
        self.councils = COUNCILS[:1] if alone else COUNCILS
        self.case = Case(reference="P-2026-0001", state=State.DRAFT, revision=0, draft_version=1, quorum=quorum)
        self.awards: dict[int, AwardState] = {}
        self.was_decided = False
        self.noted: frozenset[str] | None = None
        if stage >= 1:
            self.submit(eligible=True)
        if stage >= 2:
            for council in self.councils[1:]:
                self.answer(council, yes=True, stale=0)
            self.begin_assessment()
        if stage >= 3:
            for person in PEOPLE[:quorum]:
                self.assess(person, council=None, apart=False)
        if stage >= 4:
            self.determine("chair", approve=True, stale=0)

    def attempt(self, action: Action, attempt: Attempt, *, expected: bool) -> bool:
        if not expected:
            with pytest.raises((Conflict, Forbidden)):
                advance(self.case, action, attempt)
            return False
        self.case = dataclasses.replace(self.case, state=advance(self.case, action, attempt))
        return True

    @rule(stale=STALE)
    def edit(self, stale: int) -> None:
        version = self.case.draft_version - stale
        expected = self.case.state in EDITABLE and stale == 0
        if self.attempt(Action.EDIT, Attempt(subject="lead", draft_version=version), expected=expected):
            self.case = dataclasses.replace(self.case, draft_version=version + 1)

    @rule(eligible=st.booleans(), stale=st.sampled_from([None, 0, 0, 1]), kept=st.booleans())
    def submit(self, eligible: bool, stale: int | None = None, kept: bool = False) -> None:
        version = None if stale is None else self.case.draft_version - stale
        attempt = Attempt(subject="lead", draft_version=version, eligibility=MET if eligible else UNMET)
        expected = eligible and not stale and self.case.state in EDITABLE
        if self.attempt(Action.SUBMIT, attempt, expected=expected):
            carried = set(self.councils[1:]) if kept and self.case.revision > 0 else set()
            answers = {
                council: Answer.CONFIRMED if council == EDINBURGH or council in carried else Answer.AWAITED
                for council in self.councils
            }
            self.case = dataclasses.replace(
                self.case,
                revision=self.case.revision + 1,
                answers=answers,
                carried=carried,
                assessors=frozenset(),
                wide_spread=False,
            )
            self.noted = None

    @rule(
        council=st.sampled_from([*COUNCILS, GLASGOW]),
        yes=st.booleans(),
        stale=STALE,
    )
    def answer(self, council: str, yes: bool, stale: int) -> None:
        open_to_it = self.case.answers.get(council) == Answer.AWAITED or council in self.case.carried
        expected = self.case.state == State.SUBMITTED and stale == 0 and open_to_it
        attempt = Attempt(subject="sponsor", council=council, revision=self.case.revision - stale)
        if self.attempt(Action.CONFIRM if yes else Action.DECLINE, attempt, expected=expected):
            said = Answer.CONFIRMED if yes else Answer.DECLINED
            carried = set(self.case.carried) - {council}
            self.case = dataclasses.replace(self.case, answers={**self.case.answers, council: said}, carried=carried)

    @rule()
    def begin_assessment(self) -> None:
        confirmed = set(self.case.answers.values()) == {Answer.CONFIRMED}
        expected = self.case.state == State.SUBMITTED and confirmed
        self.attempt(Action.BEGIN_ASSESSMENT, BY_ITSELF, expected=expected)

    @rule(who=st.sampled_from(PEOPLE), council=st.sampled_from([None, EDINBURGH, GLASGOW]), apart=st.booleans())
    def assess(self, who: str, council: str | None, apart: bool) -> None:
        expected = (
            self.case.state == State.UNDER_ASSESSMENT
            and council != EDINBURGH
            and who not in self.case.assessors
            and who not in self.case.conflicted
        )
        attempt = Attempt(subject=who, council=council, revision=self.case.revision)
        if self.attempt(Action.ASSESS, attempt, expected=expected):
            assessors = frozenset({*self.case.assessors, who})
            self.case = dataclasses.replace(self.case, assessors=assessors, wide_spread=apart, moderated=False)

    @rule(who=st.sampled_from(["chair", "deputy"]), stale=STALE)
    def moderate(self, who: str, stale: int) -> None:
        expected = (
            self.case.state == State.UNDER_ASSESSMENT
            and stale == 0
            and who not in self.case.conflicted
            and len(self.case.counted) >= self.case.quorum
            and self.noted != self.case.counted
        )
        attempt = Attempt(subject=who, revision=self.case.revision - stale)
        if self.attempt(Action.MODERATE, attempt, expected=expected):
            self.noted = self.case.counted
            self.case = dataclasses.replace(self.case, moderated=True)

    @rule(who=st.sampled_from([*PEOPLE, "chair"]))
    def declare_conflict(self, who: str) -> None:
        expected = self.case.state in UNDECIDED and who not in self.case.conflicted
        if self.attempt(Action.DECLARE_CONFLICT, Attempt(subject=who), expected=expected):
            self.case = dataclasses.replace(self.case, conflicted=frozenset({*self.case.conflicted, who}))
            self.case = dataclasses.replace(self.case, moderated=self.noted == self.case.counted)

    @rule(who=st.sampled_from(["chair", "deputy"]))
    def request_changes(self, who: str) -> None:
        waiting = self.case.state in (State.SUBMITTED, State.UNDER_ASSESSMENT)
        expected = waiting and who not in self.case.conflicted
        self.attempt(Action.REQUEST_CHANGES, Attempt(subject=who), expected=expected)

    @rule(who=st.sampled_from(["chair", "deputy"]), approve=st.booleans(), stale=STALE)
    def determine(self, who: str, approve: bool, stale: int) -> None:
        counted = set(self.case.assessors) - set(self.case.conflicted)
        expected = (
            self.case.state == State.UNDER_ASSESSMENT
            and stale == 0
            and who not in self.case.conflicted
            and len(counted) >= self.case.quorum
            and (not self.case.wide_spread or self.noted == counted)
        )
        attempt = Attempt(subject=who, revision=self.case.revision - stale)
        if self.attempt(Action.APPROVE if approve else Action.REJECT, attempt, expected=expected):
            self.was_decided = True

    @rule()
    def withdraw(self) -> None:
        self.attempt(Action.WITHDRAW, Attempt(subject="lead"), expected=self.case.state in BEFORE_THE_DECISION)

    @rule(which=st.integers(0, 1), heard=st.sampled_from(AwardState))
    def hear_of_an_award(self, which: int, heard: AwardState) -> None:
        try:
            awards = {**self.awards, which: further(which, self.awards.get(which, AwardState.OFFERED), heard)}
        except Conflict:
            return
        expected = self.case.state in ONCE_APPROVED
        if self.attempt(NEWS[outcome_of(awards.values())], BY_ITSELF, expected=expected):
            self.awards = awards

    @invariant()
    def what_must_always_hold(self) -> None:
        case = self.case
        assert case.revision > 0 or case.state in (State.DRAFT, State.WITHDRAWN)
        assert not self.was_decided or case.state in DECIDED
        assert (case.state in DECIDED) == self.was_decided
        if case.state == State.UNDER_ASSESSMENT:
            assert case.all_confirmed
        # What the councils see of the money is what became of their awards, whatever was heard first.
        states = set(self.awards.values())
        if AwardState.FUNDED in states:
            assert case.state == State.FUNDED
        elif states and states <= {AwardState.DECLINED, AwardState.LAPSED}:
            assert case.state == State.NOT_FUNDED
        elif len(states) == 1:
            [state] = states
            assert case.state == (State.APPROVED if state == AwardState.OFFERED else State(state))
        if case.state in (State.FUNDED, State.COMPLETED, State.TERMINATED):
            assert AwardState(case.state) in states


TestLifeOfAProposal = LifeOfAProposal.TestCase
TestLifeOfAProposal.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)


def test_every_state_can_be_reached_from_a_draft() -> None:
    reached, waiting = {State.DRAFT}, [State.DRAFT]
    while waiting:
        state = waiting.pop()
        found = {row.target or state for row in TRANSITIONS.values() if state in row.sources} - reached
        reached |= found
        waiting += found
    assert reached == set(State)


def test_nothing_leads_out_of_an_end() -> None:
    left = {source for row in TRANSITIONS.values() for source in row.sources}
    assert set(State) - left == {State.REJECTED, State.WITHDRAWN, State.COMPLETED}


def test_what_the_panel_decided_stays_decided() -> None:
    for row in TRANSITIONS.values():
        for source, target in row.moves.items():
            assert (source in DECIDED) <= (target in DECIDED), row.action
            assert (source in ONCE_APPROVED) <= (target in ONCE_APPROVED), row.action


def test_every_action_is_in_the_table_once() -> None:
    assert list(TRANSITIONS) == list(Action)


def test_what_to_do_instead_is_said_only_of_what_cannot_be_done() -> None:
    said = [(action, state) for actions, states, _ in INSTEAD for action in actions for state in states]
    assert len(said) == len(set(said))
    assert [(action, state) for action, state in said if state in TRANSITIONS[action].moves] == []


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", State)
def test_a_wrong_state_is_said_to_be_wrong(action: Action, state: State) -> None:
    if state in TRANSITIONS[action].moves:
        return
    with pytest.raises(Conflict) as error:
        advance(_case(state), action, BY_ITSELF)
    assert error.value.code == "wrong_state"
    assert f"P-2026-0001 is in the state {state}" in error.value.message
    for actions, states, instead in INSTEAD:
        assert (instead in error.value.message) == (action in actions and state in states)


def test_an_edit_of_an_old_draft_is_told_the_current_number() -> None:
    with pytest.raises(Conflict, match="at version 3") as error:
        advance(_case(State.DRAFT), Action.EDIT, Attempt(subject="lead", draft_version=2))
    assert error.value.code == "stale_draft"
    assert error.value.fields == {"expected_revision": ["The draft is at version 3."]}


def test_a_submission_of_an_old_draft_is_refused_before_anything_else() -> None:
    old = Attempt(subject="lead", draft_version=2, eligibility=UNMET)
    with pytest.raises(Conflict, match="at version 3") as error:
        advance(_case(State.DRAFT), Action.SUBMIT, old)
    assert error.value.code == "stale_draft"
    for version in (None, 3):
        seen = Attempt(subject="lead", draft_version=version, eligibility=MET)
        assert advance(_case(State.DRAFT), Action.SUBMIT, seen) == State.SUBMITTED


def test_a_refused_submission_names_every_unmet_rule() -> None:
    with pytest.raises(Conflict, match=r"It closed on 2026-11-30\. Ask for less\.") as error:
        advance(_case(State.DRAFT), Action.SUBMIT, Attempt(subject="lead", eligibility=(*MET, *UNMET)))
    assert error.value.code == "not_eligible"
    assert error.value.fields == {"round_open": ["It closed on 2026-11-30."], "under_ceiling": ["Ask for less."]}


def test_a_submission_whose_eligibility_nobody_worked_out_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        advance(_case(State.DRAFT), Action.SUBMIT, Attempt(subject="lead"))


@pytest.mark.parametrize("revision", [None, 1, 3])
def test_what_belongs_to_another_revision_is_stale(revision: int | None) -> None:
    for action in (Action.ASSESS, Action.MODERATE, Action.APPROVE, Action.REJECT):
        with pytest.raises(Conflict, match="at revision 2") as error:
            advance(_case(State.UNDER_ASSESSMENT), action, Attempt(subject="catriona", revision=revision))
        assert error.value.code == "stale_revision"


def test_an_answer_is_given_once_by_those_who_take_part() -> None:
    answers = {EDINBURGH: Answer.CONFIRMED, ABERDEENSHIRE: Answer.DECLINED}
    case = _case(State.SUBMITTED, answers=answers)
    with pytest.raises(Conflict, match="Aberdeenshire has already declined revision 2") as twice:
        advance(case, Action.CONFIRM, Attempt(subject="sponsor", council=ABERDEENSHIRE, revision=2))
    assert twice.value.code == "already_answered"
    with pytest.raises(Forbidden) as stranger:
        advance(case, Action.CONFIRM, Attempt(subject="sponsor", council=GLASGOW, revision=2))
    assert stranger.value.code == "not_a_participant"


@pytest.mark.parametrize(
    "action", [Action.ASSESS, Action.MODERATE, Action.APPROVE, Action.REJECT, Action.REQUEST_CHANGES]
)
def test_an_interest_shuts_out(action: Action) -> None:
    case = _case(State.UNDER_ASSESSMENT, conflicted={"catriona"})
    for attempt in (
        Attempt(subject="donald", council=ABERDEENSHIRE, revision=2),
        Attempt(subject="catriona", revision=2),
    ):
        with pytest.raises(Forbidden) as error:
            advance(case, action, attempt)
        assert error.value.code == "conflict_of_interest"


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT])
def test_a_wide_spread_is_moderated_before_the_decision(action: Action) -> None:
    chair = Attempt(subject="chair", revision=2)
    with pytest.raises(Conflict, match=r"get_assessment_summary.*with moderate") as error:
        advance(_case(State.UNDER_ASSESSMENT, wide_spread=True), action, chair)
    assert error.value.code == "moderation_needed"
    advance(_case(State.UNDER_ASSESSMENT, wide_spread=True, moderated=True), action, chair)
    with pytest.raises(Conflict) as again:
        advance(_case(State.UNDER_ASSESSMENT, wide_spread=True, moderated=True), Action.MODERATE, chair)
    assert again.value.code == "already_moderated"


def test_a_decision_on_other_content_is_told_the_right_hash() -> None:
    case = _case(State.UNDER_ASSESSMENT, content_hash="a" * 64)
    assert advance(case, Action.APPROVE, Attempt(subject="chair", revision=2, content_hash="a" * 64)) == State.APPROVED
    with pytest.raises(Conflict, match="a" * 64) as error:
        advance(case, Action.APPROVE, Attempt(subject="chair", revision=2, content_hash="b" * 64))
    assert (error.value.code, set(error.value.fields)) == ("other_content", {"content_hash"})


@pytest.mark.parametrize("action", [Action.MODERATE, Action.APPROVE, Action.REJECT])
def test_a_chair_who_assesses_as_well_gives_scores_first(action: Action) -> None:
    both = Attempt(subject="chair", revision=2, assesses=True)
    answers = []
    for about in ({}, {"wide_spread": True}, {"assessors": ()}, {"moderated": True}):
        with pytest.raises(Forbidden) as error:
            advance(_case(State.UNDER_ASSESSMENT, **about), action, both)
        answers.append(error.value.as_dict())
    assert answers == [answers[0]] * 4, "the refusal tells what the assessments are like"
    assert answers[0]["code"] == "own_scores_first"
    advance(_case(State.UNDER_ASSESSMENT, assessors={"ailsa", "chair"}), action, both)


def test_everybody_on_the_panel_with_an_interest_is_named_at_once() -> None:
    case = _case(State.UNDER_ASSESSMENT, conflicted={"catriona"}, involved={"donald"})
    panel = [("eilidh", None), ("catriona", None), ("fergus", ABERDEENSHIRE), ("donald", GLASGOW), ("ailsa", None)]
    with pytest.raises(Forbidden) as error:
        advance(case, Action.APPROVE, Attempt(subject="chair", revision=2, panel=panel))
    assert error.value.code == "conflict_of_interest"
    assert list(error.value.fields) == ["panel.1", "panel.2", "panel.3"]
    for person, said in (("catriona", "declared"), ("fergus", "council of fergus takes part"), ("donald", "wrote")):
        assert person in error.value.message
        assert said in error.value.message
    assert advance(case, Action.APPROVE, Attempt(subject="chair", revision=2, panel=panel[::4])) == State.APPROVED


def test_whoever_has_moderated_does_not_assess() -> None:
    with pytest.raises(Forbidden) as error:
        advance(
            _case(State.UNDER_ASSESSMENT, moderators={"chair"}), Action.ASSESS, Attempt(subject="chair", revision=2)
        )
    assert error.value.code == "knows_the_scores"


def test_a_revision_takes_so_many_assessments_and_no_more() -> None:
    full = _case(State.UNDER_ASSESSMENT, assessors={f"a{number}" for number in range(MAX_ASSESSMENTS)})
    with pytest.raises(Conflict, match="takes no more") as error:
        advance(full, Action.ASSESS, Attempt(subject="one-more", revision=2))
    assert error.value.code == "enough_assessments"


def test_assessments_of_people_with_a_conflict_do_not_make_a_quorum() -> None:
    chair = Attempt(subject="chair", revision=2)
    assert advance(_case(State.UNDER_ASSESSMENT), Action.APPROVE, chair) == State.APPROVED
    with pytest.raises(Conflict, match="1 of the 2 assessments") as error:
        advance(_case(State.UNDER_ASSESSMENT, conflicted={"brodie"}), Action.APPROVE, chair)
    assert error.value.code == "no_quorum"


def test_the_hash_is_that_of_the_canonical_json() -> None:
    assert content_hash({"b": [1, "é"], "a": None}) == hashlib.sha256('{"a":null,"b":[1,"é"]}'.encode()).hexdigest()
    shuffled = dict(reversed(list(content().items())))
    assert content_hash(shuffled) == content_hash(content())
    assert content_hash(content(requested_pence=1)) != content_hash(content())
