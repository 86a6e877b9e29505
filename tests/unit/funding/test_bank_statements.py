"""A bank's CSV is read as banks write it, and what cannot be read is named with its line."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.funding.domain.bank_statements import MAX_LETTERS, MAX_LINES, BankLine, normal_reference, read
from shared.errors import Invalid

ONE_JUNE = date(2026, 6, 1)
IN = BankLine(2, ONE_JUNE, "BACS-1", 123_456)
OUT = BankLine(3, ONE_JUNE, "PAY-1", -1_000_00)


@pytest.mark.parametrize(
    "text",
    [
        "date,reference,amount\n2026-06-01,BACS-1,1234.56\n2026-06-01,PAY-1,-1000\n",
        '\ufeffDate,Reference,Amount (£)\r\n01/06/2026,BACS-1,"1,234.56"\r\n1/6/2026,PAY-1,"(£1,000.00)"\r\n',
        "Value Date;Bank Reference;Amount\n1 Jun 2026;BACS-1;£1,234.56\n01-June-2026;PAY-1;1,000.00-\n",
        "Transaction date,REF,Paid in,Paid out,Balance\n01/06/2026,BACS-1,1234.56,,9\n01/06/2026,PAY-1,,1000.00,8\n",
        "DATE\tREFERENCE\tCREDIT\tDEBIT\n01.06.2026\tBACS-1\t1234.56\t0.00\n01.06.2026\tPAY-1\t\t-1000\n",
        "date,reference,amount,direction\n2026-06-01,BACS-1,1234.56,Credit\n2026-06-01,PAY-1,1000,DR\n",
    ],
    ids=["plain", "excel", "semicolons", "paid in and out", "tabs", "direction"],
)
def test_the_usual_ways_to_write_it_say_the_same(text: str) -> None:
    found = read(text)
    assert (found.lines, found.unreadable) == ((IN, OUT), ())


def test_what_stands_before_the_header_and_beside_the_columns_is_left_out() -> None:
    found = read("Account,12345678\n\nBalance,Date,Details,Reference,Amount\n7,2026-06-01,Rates,BACS-1,5\n\n")
    assert found.lines == (BankLine(4, ONE_JUNE, "BACS-1", 500, "Rates"),)
    assert found.ignored_columns == ("Balance",)


def test_a_cell_of_several_lines_counts_in_the_file() -> None:
    found = read('date,reference,amount,details\n2026-06-01,A,1,"two\nlines"\nsoon,B,1,x\n')
    assert found.lines[0].description == "two\\nlines"
    assert [(each.line, each.problems) for each in found.unreadable] == [
        (4, ("'soon' is not a date; write it like 2026-03-31 or 31/03/2026.",))
    ]


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("2026-02-30,A,1", ["'2026-02-30' is not a date; write it like 2026-03-31 or 31/03/2026."]),
        ("06/13/2026,A,1", ["'06/13/2026' is not a date; write it like 2026-03-31 or 31/03/2026."]),
        ("2026-06-01,A,1.005", ["'1.005' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ('2026-06-01,A,"1.234,56"', ["'1.234,56' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ('2026-06-01,A,"12,34"', ["'12,34' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ("2026-06-01,A,1e5", ["'1e5' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ("2026-06-01,A,--5", ["'--5' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ("2026-06-01,A,٣", ["'٣' is not a sum of pounds; write it like 1,234.56 or -1234.56."]),
        ("2026-06-01,A,0.00", ["Its amount is nothing."]),
        ("2026-06-01,A,20000000000", ["'20000000000' is more than £10,000,000,000."]),
        ("2026-06-01", ["It has 1 cells and the header 3."]),
        (
            "soon, ,much",
            [
                "'soon' is not a date; write it like 2026-03-31 or 31/03/2026.",
                "'much' is not a sum of pounds; write it like 1,234.56 or -1234.56.",
                "It has no reference.",
            ],
        ),
    ],
)
def test_every_problem_of_a_line_is_told_and_the_others_are_read(line: str, problems: list[str]) -> None:
    found = read(f"date,reference,amount\n{line}\n2026-06-01,BACS-1,1234.56\n")
    assert [(each.line, list(each.problems)) for each in found.unreadable] == [(2, problems)]
    assert [each.reference for each in found.lines] == ["BACS-1"]


def test_a_sum_is_either_paid_in_or_out() -> None:
    header = "date,reference,paid in,paid out\n"
    for cells in ("1,2", ",", "0,0.00"):
        [line] = read(f"{header}2026-06-01,A,{cells}\n").unreadable
        assert line.problems == ("Give a sum either as paid in or as paid out.",)


def test_a_direction_is_understood_or_the_line_is_not_read() -> None:
    text = "date,reference,amount,cr/dr\n2026-06-01,A,1,sideways\n2026-06-01,B,-1,CR\n2026-06-01,C,-1,DR\n"
    found = read(text)
    assert [each.line for each in found.unreadable] == [2, 3]
    assert [each.amount_pence for each in found.lines] == [-100]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "when,what\n1,2\n",
            [
                "No column is named date.",
                "No column is named reference.",
                "No column is named amount, nor are there columns named paid in and paid out.",
                "Begin with a line that names the columns, such as: date,reference,amount",
            ],
        ),
        (
            "date,value date,reference,amount,value,paid in\n",
            [
                "Both date and value date are read as date; rename one of them.",
                "Both amount and value are read as amount; rename one of them.",
                "There is an amount and a column of paid in or paid out; take one of the two ways away.",
            ],
        ),
        (
            "date,reference,paid in\n",
            ["There is one column of paid in and paid out; both are needed, or one named amount."],
        ),
        (
            "date,reference,amount\n" + "2026-06-01,A,1\n" * (MAX_LINES + 30),
            ["The file has more than 5,000 lines; send a shorter period."],
        ),
    ],
    ids=["no header", "two names", "one way", "too long"],
)
def test_a_file_that_is_no_statement_is_refused_with_all_that_is_wrong(text: str, problems: list[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        read(text)
    assert (refusal.value.code, refusal.value.fields) == ("not_a_bank_statement", {"statement": problems})


def test_a_reference_is_compared_without_blanks_hyphens_case_and_a_numbers_leading_zeros() -> None:
    assert normal_reference(" bacs 17 ") == normal_reference("BACS17") == normal_reference("BACS-17")
    assert normal_reference("000123") == normal_reference("123")
    assert normal_reference("000") == "0"
    assert normal_reference("BACS-0017") != normal_reference("BACS-17")


@given(
    st.text(max_size=300)
    | st.text(alphabet='date,referncmout\n"£;\t-/0126.', max_size=200).map("date,reference,amount\n".__add__)
)
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    with suppress(Invalid):
        found = read(text)
        assert all(line.amount_pence for line in found.lines)
        assert all(line.problems for line in found.unreadable)


def test_a_cell_of_any_length_is_refused_and_not_read() -> None:
    with pytest.raises(Invalid):
        read("date,reference,amount\n" + "9" * 200_000)
    with pytest.raises(Invalid):
        read("x" * (MAX_LETTERS + 1))
    [line] = read("date,reference,amount\n2026-06-01,A," + "9" * 9_999).unreadable
    assert len(line.problems[0]) < 200
