"""One person remains one person, however the name is written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.people import is_among, person

ANN = "Ann.Ó@Fife.example"


@pytest.mark.parametrize(
    "spelling",
    [ANN, ANN.lower(), ANN.upper(), unicodedata.normalize("NFD", ANN), "Ann.Ó＠Fife.example", f" {ANN} "],  # noqa: RUF001
    ids=["same", "lower", "upper", "decomposed", "wide", "blanks"],
)
def test_another_spelling_is_not_a_second_person(spelling: str) -> None:
    assert is_among(spelling, ["ben@fife.example", None, ANN])


def test_others_are_others() -> None:
    assert not is_among(ANN, ["Anna.Ó@Fife.example", None, ""])
    assert not is_among(ANN, [])


@given(st.text(max_size=40))
def test_what_spellings_have_in_common_has_it_too(subject: str) -> None:
    assert person(person(subject)) == person(subject)
