"""Proposals that mean the same are told of, those that merely speak the trade's language are not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proposals.domain import similarity, wording
from services.proposals.domain.similarity import THRESHOLD, Rarity, Similarity
from services.proposals.domain.wording import Word, Wording


def text(title: str, need: str, problem: str, *benefits: str) -> dict[str, Any]:
    return {"title": title, "user_need": need, "problem": problem, "benefits": [{"title": name} for name in benefits]}


#: Two councils' words for one idea: other endings, another order, other words around them.
SAME = {
    "payments": (
        text(
            "One online payments service for three councils",
            "Pay any council bill in under two minutes, on a phone, without an account.",
            "Residents pay by phone because each council's form differs and fails on mobiles.",
            "Fewer payments taken by phone",
        ),
        text(
            "Paying council bills online",
            "Citizens want to make a payment from their mobile without first opening an account.",
            "Too many bills are paid over the phone, as our payment forms do not work on mobiles.",
            "Phone payments avoided",
        ),
    ),
    "bins": (
        text(
            "Missed bin collections reported online",
            "Tell the council that a bin was missed and know when the crew comes back.",
            "Households phone about missed collections, and crews hear of them a day late.",
            "Fewer calls about missed bins",
        ),
        text(
            "Reporting of a missed bin",
            "A household whose bin was not collected wants the crew to return soon.",
            "The contact centre takes calls on every missed bin and passes them to crews on paper.",
            "Calls about bins avoided",
        ),
    ),
    "school meals": (
        text(
            "Cashless school meals",
            "Parents top up a child's meal account at home instead of sending cash to school.",
            "Schools count cash every morning, and pupils on free meals are singled out.",
            "Staff time spent on counting dinner money",
        ),
        text(
            "Taking cash out of the school dinner queue",
            "Parents pay for school meals by card, and free meals look like any other.",
            "Dinner money is counted by school staff each day.",
            "Less cash handled in schools",
        ),
    ),
    "licensing": (
        text(
            "A shared taxi licensing system",
            "Drivers renew their taxi licence without taking a day off.",
            "Applications for taxi and private hire licences are on paper and take nine weeks.",
            "Days to grant a licence",
        ),
        text(
            "Licences for taxis and private hire cars",
            "A taxi driver applies for and renews a licence from home.",
            "Paper applications for licensing wait for weeks.",
            "Licensing applications decided within a month",
        ),
    ),
    "potholes": (
        text(
            "Road defects found by cameras on refuse lorries",
            "Drivers and cyclists meet no pothole that the council could have known of.",
            "Inspectors drive every road twice a year, and potholes appear in between.",
            "Compensation claims for potholes",
        ),
        text(
            "Automatic detection of potholes",
            "Cyclists need roads on which potholes are repaired before anybody is hurt.",
            "Road inspectors cannot see each defect; cameras on vehicles can.",
            "Fewer claims for damage by potholes",
        ),
    ),
    "sensors": (
        text(
            "Damp sensors in council houses",
            "Tenants live in homes without damp or mould.",
            "Damp is found when a tenant complains, by when the mould is in the walls.",
            "Repairs for mould",
            "Fewer complaints of damp",
        ),
        text(
            "Monitoring humidity to prevent mould in tenants' homes",
            "A tenant's home is dry, and damp is treated before there is mould.",
            "Housing repairs come after complaints about damp.",
            "Cost of mould repairs",
        ),
    ),
    "planning": (
        text(
            "Planning applications validated automatically",
            "Architects learn at once what a planning application lacks.",
            "Half of all planning applications are invalid when lodged, and planners send them back.",
            "Invalid applications",
        ),
        text(
            "Automated validation for planning",
            "Whoever lodges an application is told straight away whether it is valid.",
            "Planners spend their mornings on applications that lack a drawing.",
            "Share of applications that are valid when lodged",
        ),
    ),
    "telecare": (
        text(
            "From analogue to digital telecare alarms",
            "Older people can raise the alarm after a fall when telephone lines are switched off.",
            "Telecare alarms stop working as the analogue telephone network closes.",
            "Alarm calls that fail",
        ),
        text(
            "Replacing community alarms before the analogue switch-off",
            "An older person who falls presses the alarm and is answered.",
            "Community alarms and telecare hubs depend on analogue telephone lines.",
            "Failed alarm calls avoided",
        ),
    ),
    "copied": (
        text(
            "Digital blue badge renewals",
            "A disabled driver renews a blue badge without sending the same proof again.",
            "Each renewal of a badge asks for evidence that the council holds already.",
            "Renewals made without new evidence",
        ),
        text(
            "Renewing blue badges",
            "A driver with a disability sends evidence once and renews the badge from it.",
            "We ask for proof at each renewal.",
            "Badges renewed without evidence",
        ),
    ),
}

#: Two ideas in the words that every council uses.
DIFFERENT = {
    "payments and bookings": (
        text(
            "One online payments service for councils",
            "Citizens want to pay council bills online with a digital service.",
            "Citizens phone the council because the online service is not easy to use.",
            "Council staff time saved by the online service",
        ),
        text(
            "An online service to book council sports halls",
            "Citizens want a digital council service that shows when a hall is free.",
            "Citizens phone council staff because halls cannot be reserved online.",
            "Staff time saved by the online service",
        ),
    ),
    "bins and libraries": (
        text(
            "Digital services for citizens: missed bins",
            "Citizens need an online council service to report a missed bin.",
            "Councils spend staff time on phone calls about bins.",
            "Cost of calls to the council",
        ),
        text(
            "Digital services for citizens: library memberships",
            "Citizens need an online council service to join a library.",
            "Councils spend staff time on paper forms for membership.",
            "Cost of printing for the council",
        ),
    ),
    "school meals and school transport": (
        text(
            "Cashless school meals",
            "Parents top up a child's meal account at home.",
            "Schools count cash every morning.",
            "Staff time spent on dinner money",
        ),
        text(
            "Live bus times for parents of pupils in rural areas",
            "Parents see where the bus is before a child stands in the rain.",
            "Contractors run late on single-track roads and nobody is told.",
            "Complaints about late buses",
        ),
    ),
    "taxi and alcohol": (
        text(
            "A shared taxi service",
            "Drivers renew their badge without taking a day off.",
            "Vehicle tests are booked by post.",
            "Days to book a vehicle test",
        ),
        text(
            "A shared committee service",
            "Councillors vote and read their papers on a tablet.",
            "Committee papers are printed and couriered to members.",
            "Printing of agendas",
        ),
    ),
    "potholes and street lights": (
        text(
            "Potholes found by cameras",
            "Cyclists meet no pothole that the council could have known of.",
            "Road inspectors drive every road twice a year.",
            "Compensation claims",
        ),
        text(
            "Street lights that report their own failure",
            "People walk home under lamps that work.",
            "The council learns of dark lamps from residents.",
            "Energy used by lighting",
        ),
    ),
    "damp and rent": (
        text(
            "Damp sensors in council houses",
            "Tenants live in homes without mould.",
            "Damp is found when somebody complains.",
            "Repairs for mould",
        ),
        text(
            "Rent arrears predicted early",
            "Tenants get advice before debts grow.",
            "Arrears are noticed after three missed months.",
            "Evictions avoided",
        ),
    ),
    "planning and payroll": (
        text(
            "Planning applications validated automatically",
            "Architects learn what an application lacks.",
            "Half of all applications are invalid when lodged.",
            "Invalid applications",
        ),
        text(
            "One payroll for small councils",
            "Employees are paid right, and on time.",
            "Payroll teams of two people cannot cover illness.",
            "Payslips corrected",
        ),
    ),
    "telecare and trees": (
        text(
            "From analogue to digital telecare",
            "Older people can raise the alarm after a fall.",
            "Hubs stop working as the network closes.",
            "Calls that fail",
        ),
        text(
            "A digital register of trees",
            "People know that trees along paths are safe.",
            "Surveys of trees are kept in spreadsheets.",
            "Trees inspected on time",
        ),
    ),
    "the trade's own words": (
        text(
            "Better digital services for residents",
            "Residents need to find council services online in one place.",
            "Council websites are hard to use.",
            "Fewer phone calls from residents",
        ),
        text(
            "Improving online council services for citizens and businesses: trading standards",
            "A business needs advice on trading standards from the council's website.",
            "Businesses phone several councils for advice.",
            "Fewer phone calls from businesses",
        ),
    ),
}

SETTLED = [wording.of_proposal(proposal) for pairs in (SAME, DIFFERENT) for pair in pairs.values() for proposal in pair]
#: A partnership with some proposals, and one with nothing but the two at hand.
FEW = Rarity(len(SETTLED), {stem: sum(stem in words for words in SETTLED) for words in SETTLED for stem in words})


def compared(pair: tuple[dict[str, Any], dict[str, Any]], rarity: Rarity | None = None) -> Similarity | None:
    ours, theirs = (wording.of_proposal(proposal) for proposal in pair)
    return similarity.compare(ours, theirs, rarity or Rarity(2, dict.fromkeys(ours.keys() & theirs.keys(), 2)))


@pytest.mark.parametrize("idea", SAME)
@pytest.mark.parametrize("rarity", [FEW, None], ids=["among others", "alone"])
def test_the_same_idea_in_other_words_is_told_of(idea: str, rarity: Rarity | None) -> None:
    found = compared(SAME[idea], rarity)
    assert found is not None
    assert found.score >= THRESHOLD


@pytest.mark.parametrize("ideas", DIFFERENT)
@pytest.mark.parametrize("rarity", [FEW, None], ids=["among others", "alone"])
def test_the_trades_own_words_make_nothing_similar(ideas: str, rarity: Rarity | None) -> None:
    found = compared(DIFFERENT[ideas], rarity)
    assert found is None or found.score < THRESHOLD


def test_every_idea_is_nearest_to_itself() -> None:
    for idea, (ours, _) in SAME.items():
        scores = {}
        for other, (_, theirs) in SAME.items():
            found = compared((ours, theirs), FEW)
            scores[other] = found.score if found else 0
        assert max(scores, key=lambda name: scores[name]) == idea
        assert [name for name, score in scores.items() if score >= THRESHOLD] == [idea]


def test_the_reason_names_the_words_that_count_as_they_are_written() -> None:
    found = compared(SAME["bins"], FEW)
    assert found is not None
    assert [shared.word for shared in found.shared][:4] == ["bin", "missed", "collections", "crew"]
    assert found.shared[0].stands_in == ["title", "need", "benefits"]
    assert similarity.sentence(
        found,
        reference="P-2026-0003",
        title="Reporting of a missed bin",
        lead_council="S12000036",
        state="under_assessment",
    ) == (
        "Shares bin, missed, collections and crew in title, need and benefits with P-2026-0003, Reporting of a missed"
        " bin (City of Edinburgh, under assessment)."
    )


def test_what_is_rare_counts_more_than_what_every_proposal_says() -> None:
    common, rare = (text("Trees", f"{word} here", "So it is", "Oaks") for word in ("Invoices", "Gritters"))
    ours = text("Roads", "Invoices for gritters", "So it is", "Winters")
    rarity = Rarity(1000, {"invoic": 900, "gritter": 3})
    with_common, with_rare = compared((ours, common), rarity), compared((ours, rare), rarity)
    assert with_rare is not None
    assert (with_common.score if with_common else 0) < with_rare.score


# --- properties -----------------------------------------------------------------------------------------------------

_SAID = "pay bills bins missed crew council online libraries taxi licence damp mould tenants potholes road"
_WORDS = _SAID.split()
TEXTS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=12).map(" ".join)
PROPOSALS = st.builds(text, TEXTS, TEXTS, TEXTS, TEXTS)
RARITIES = st.dictionaries(
    st.sampled_from([stem for word in _WORDS for stem in wording.of_query(word)]), st.integers(0, 50)
).map(lambda containing: Rarity(50, containing))


@given(PROPOSALS, RARITIES)
def test_identical_texts_give_a_hundred(proposal: dict[str, Any], rarity: Rarity) -> None:
    found = compared((proposal, proposal), rarity)
    assert found is not None
    assert found.score == 100


@given(PROPOSALS, PROPOSALS, RARITIES)
def test_which_of_two_is_asked_about_makes_no_difference(ours: Any, theirs: Any, rarity: Rarity) -> None:
    there, back = compared((ours, theirs), rarity), compared((theirs, ours), rarity)
    assert (there and there.score) == (back and back.score)
    assert there is None or 1 <= there.score <= 100


@given(PROPOSALS, PROPOSALS, RARITIES, st.randoms())
def test_the_order_of_the_words_makes_no_difference(ours: Any, theirs: Any, rarity: Rarity, random: Any) -> None:
    words = ours["user_need"].split()
    random.shuffle(words)
    before, after = compared((ours, theirs), rarity), compared(({**ours, "user_need": " ".join(words)}, theirs), rarity)
    assert before == after


@given(PROPOSALS, PROPOSALS, RARITIES)
def test_no_shared_word_gives_nothing(ours: Any, theirs: Any, rarity: Rarity) -> None:
    shared = wording.of_proposal(ours).keys() & wording.of_proposal(theirs).keys()
    found = compared((ours, theirs), rarity)
    if not shared:
        assert found is None
    elif found is not None:
        assert len(found.shared) == min(len(shared), similarity.MAX_SHARED)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "stems"),
    [
        ("Payments, paying; PAY!", ["payment", "pay"]),
        ("the council's and councils\u2019 e-mail", ["council", "mail"]),
        ("G\u00e0idhlig Gaidhlig", ["gaidhlig"]),
        ("Microsoft 365, phase 2", ["microsoft", "365", "phase"]),
        ("It is what it is.", []),
        ("snake_case", ["snake", "case"]),
        ("x" * 100, ["x" * wording.MAX_WORD_LENGTH]),
    ],
)
def test_words_are_looked_up_without_their_endings(said: str, stems: list[str]) -> None:
    assert wording.of_query(said) == stems


def test_a_word_knows_where_it_stands() -> None:
    words = wording.of_proposal(text("Paying BINS", "Pay for bins", "Nobody pays", "Bins"))
    assert wording.fields_of(words["pay"].places) == ["title", "need"]
    assert words["pay"].written == "pays"
    assert wording.fields_of(words["bin"].places) == ["title", "need", "benefits"]
    assert words["bin"] == Word(7, "bins")
    assert words["bin"].weight == sum(wording.FIELDS.values())


def test_the_words_of_a_proposal_are_bounded_the_title_first() -> None:
    many = " ".join(f"word{number}" for number in range(1000))
    words: Wording = wording.of_proposal(text("Telling title", many, many, "Telling benefit"))
    assert len(words) == wording.MAX_WORDS
    assert {"tell", "titl", "benefit"} <= words.keys()
