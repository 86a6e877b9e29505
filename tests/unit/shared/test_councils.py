"""The 32 councils, as the published table has them."""

import csv
from importlib.resources import files

from shared import councils


def test_there_are_32_in_the_order_of_their_codes() -> None:
    codes = list(councils.all_councils())
    assert len(codes) == 32
    assert codes == sorted(codes)
    assert all(code == council.gss_code for code, council in councils.all_councils().items())


def test_their_people_add_up_to_scotlands() -> None:
    """National Records of Scotland's mid-2016 estimate is 5,404,700."""
    assert sum(council.population for council in councils.all_councils().values()) == 5_404_700


def test_every_row_of_the_table_is_there_as_it_stands() -> None:
    lines = files("shared").joinpath("data/councils.csv").read_text().splitlines()
    rows = {row["gss_code"]: (row["name"], int(row["population_mid_2016"])) for row in csv.DictReader(lines)}
    assert {code: (found.name, found.population) for code, found in councils.all_councils().items()} == rows


def test_a_code_is_told_from_what_is_none() -> None:
    assert councils.is_council("S12000036")
    assert not councils.is_council("S12000099")
    assert not councils.is_council("")
    assert councils.name_of("S12000013") == "Na h-Eileanan Siar"
    assert councils.name_of("S12000099") == "S12000099"
