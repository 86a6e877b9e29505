"""What a field takes, and the sentence with which it refuses the rest."""

import json
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, validate

from shared.fields import (
    MAX_FAULT_LENGTH,
    MAX_FAULTS_BYTES,
    MAX_PENCE,
    Command,
    CommandSchema,
    Day,
    DecimalString,
    FinancialYear,
    Flag,
    Gss,
    Id,
    Items,
    Key,
    Moment,
    Pence,
    Person,
    Table,
    Text,
    WholeNumber,
    faults,
    flatten,
)
from shared.own_words import NoSuchField

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


def refusal(field: fields.Field[Any], value: Any) -> str:
    """The one sentence with which a field refuses a value."""
    with pytest.raises(ValidationError) as error:
        field.deserialize(value)
    (sentence,) = error.value.messages
    return str(sentence)


class TestText:
    def test_it_is_trimmed_and_composed(self) -> None:
        assert Text(max_length=20).deserialize("  Cafe\u0301 \n") == "Café"

    @given(st.text(max_size=40))
    def test_what_it_takes_it_takes_again_unchanged(self, text: str) -> None:
        try:
            taken = Text(max_length=40, lines=True).deserialize(text)
        except ValidationError:
            return
        assert Text(max_length=40, lines=True).deserialize(taken) == taken
        assert unicodedata.is_normalized("NFC", taken)
        assert 0 < len(taken) <= 40

    @pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u00a0"])
    def test_nothing_is_refused(self, text: str) -> None:
        assert refusal(Text(max_length=5), text) == "Write something here; it is empty."

    def test_the_limit_counts_characters_after_trimming(self) -> None:
        assert Text(max_length=5).deserialize(" 12345 ") == "12345"
        assert refusal(Text(max_length=5), "123456") == "Shorten this to 5 characters; it has 6."
        assert refusal(Text(max_length=4000), "x" * 4001) == "Shorten this to 4,000 characters; it has 4,001."

    @pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\ud800"])
    def test_control_characters_are_refused(self, char: str) -> None:
        assert refusal(Text(max_length=9), f"a{char}b") == "Remove the control characters and line breaks."
        assert refusal(Text(max_length=9, lines=True), f"a{char}b") == "Remove the control characters."

    @pytest.mark.parametrize("char", ["\n", "\t", "\u2028", "\u2029"])
    def test_line_breaks_belong_into_texts_of_many_lines(self, char: str) -> None:
        assert refusal(Text(max_length=9), f"a{char}b") == "Remove the control characters and line breaks."

    def test_a_text_of_many_lines_keeps_them(self) -> None:
        assert Text(max_length=9, lines=True).deserialize("a\n\tb\n") == "a\n\tb"

    def test_the_line_ends_of_windows_and_of_web_forms_are_line_ends(self) -> None:
        assert Text(max_length=9, lines=True).deserialize("a\r\nb") == "a\nb"

    @pytest.mark.parametrize(
        "char",
        list("\u200b\u200e\u202e\u2060\u2066\ufeff\u061c\u034f\u115f\u3164\uffa0\ufff9\uffff\U000e0041\U000e0101"),
        ids=ascii,
    )
    def test_characters_that_nobody_sees_are_refused(self, char: str) -> None:
        sentence = "Remove the invisible characters (direction marks, zero-width spaces)."
        assert refusal(Text(max_length=9), f"a{char}b") == sentence

    @pytest.mark.timeout(20)
    def test_letters_under_a_heap_of_marks_are_refused_before_they_are_composed(self) -> None:
        """Composing sorts the marks: 250,000 of each of these two would take the service minutes."""
        heap = "e" + "\u0301" * 250_000 + "\u0323" * 250_000
        assert refusal(Text(max_length=200), heap) == "Shorten this to 200 characters; it has 500,001."
        assert refusal(Text(max_length=4000), heap[250_000 - 15 :][:31]) == (
            "Remove accents: no letter has more than 30."
        )
        assert Text(max_length=200).deserialize("e" + "\u0323\u0301" * 15)

    def test_a_text_that_composition_shortens_may_be_that_much_longer(self) -> None:
        assert Text(max_length=3).deserialize("e\u0301" * 3) == "é" * 3
        assert refusal(Text(max_length=3), "e\u0301" * 4) == "Shorten this to 3 characters; it has 4."

    def test_gaelic_and_joined_emoji_pass(self) -> None:
        for text in ("Comhairle nan Eilean Siar agus ùr", "👩\u200d💻"):
            assert Text(max_length=40).deserialize(text) == text

    @pytest.mark.parametrize("value", [5, True, [], {}, None])
    def test_only_a_text_is_one(self, value: Any) -> None:
        refusal(Text(max_length=9), value)


class TestPence:
    @pytest.mark.parametrize("value", [True, False, 1.0, 0.5, "100", "1e3", [], Decimal(1)])
    def test_only_a_whole_number_is_one(self, value: Any) -> None:
        assert refusal(Pence(), value).startswith("Give whole pence as a number without a decimal point")

    @pytest.mark.parametrize("value", [0, -1, MAX_PENCE + 1, 10**30])
    def test_it_has_bounds(self, value: int) -> None:
        assert refusal(Pence(), value) == "Give whole pence from 1 to 1,000,000,000,000."

    def test_the_bounds_themselves_pass(self) -> None:
        assert [Pence().deserialize(value) for value in (1, MAX_PENCE)] == [1, MAX_PENCE]
        assert Pence(minimum=0).deserialize(0) == 0

    @pytest.mark.parametrize("value", [1.9, Decimal("1.9"), True, "100"])
    def test_nothing_is_rounded_on_the_way_out_either(self, value: Any) -> None:
        """An event's data and an RPC's answer go through here too: a fault in a service must not become a sum."""

        class Line(Schema):
            amount_pence = Pence()

        with pytest.raises((ValidationError, ValueError, TypeError)):
            Line().dump({"amount_pence": value})


class TestWholeNumber:
    @pytest.mark.parametrize("value", [True, 2.0, "2", 0, 10, None])
    def test_everything_else_is_refused(self, value: Any) -> None:
        refusal(WholeNumber(minimum=1, maximum=9), value)

    def test_the_sentence_gives_the_bounds(self) -> None:
        field = WholeNumber(minimum=1, maximum=9)
        sentences = {refusal(field, value) for value in (0, 10, "2", True, 1.5)}
        assert sentences == {"Give a whole number from 1 to 9."}
        assert (field.deserialize(1), field.deserialize(9)) == (1, 9)


class TestDecimalString:
    @given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**14), max_value=10**14))
    def test_a_decimal_in_quotes_stays_as_it_was_written(self, number: Decimal) -> None:
        assert DecimalString().deserialize(f"{number:f}") == f"{number:f}"

    @pytest.mark.parametrize(
        "value",
        [1, 1.5, True, None, "", " 1", "1 ", "1\n", "+1", "1.", ".5", "1e3", "1,000", "NaN", "Infinity", "--1", "0x1",
         "1234567890123456", "1.1234567"],
    )  # fmt: skip
    def test_everything_else_is_refused(self, value: Any) -> None:
        refusal(DecimalString(), value)

    def test_digits_are_ascii(self) -> None:
        """Another system that reads the event need not know other scripts' digits."""
        refusal(DecimalString(), "١٢٣")

    def test_it_has_bounds(self) -> None:
        percent = DecimalString(minimum="0", maximum="100")
        assert [percent.deserialize(value) for value in ("0", "100", "100.000000")] == ["0", "100", "100.000000"]
        assert refusal(percent, "-0.000001") == "Give a value of 0 or more."
        assert refusal(percent, "100.000001") == "Give a value of 100 or less."


class TestGssAndKey:
    @pytest.mark.parametrize("value", ["S12000099", "s12000036", "S12000036 ", "", "Fife"])
    def test_a_code_that_is_no_councils_is_refused(self, value: str) -> None:
        assert refusal(Gss(), value) == "This is not the GSS code of a Scottish council; it looks like S12000036."

    @pytest.mark.parametrize("value", [["S12000036"], 12000036, None, {}])
    def test_a_code_is_a_text(self, value: Any) -> None:
        refusal(Gss(), value)

    def test_a_councils_code_passes(self) -> None:
        assert Gss().deserialize("S12000036") == "S12000036"

    @pytest.mark.parametrize("value", ["Ailsa.Reid@Edinburgh.Example", " ailsa.reid@edinburgh.example\n"])
    def test_a_person_is_one_however_written(self, value: str) -> None:
        assert Person().deserialize(value) == "ailsa.reid@edinburgh.example"

    @pytest.mark.parametrize("value", ["", " ", "Ailsa Reid", "ailsa\u200b", "á@b.example", "a" * 129, None, 5, ["a"]])
    def test_nobody_else_is_a_person(self, value: Any) -> None:
        refusal(Person(), value)

    @pytest.mark.parametrize("value", [0, 1, "true", "yes", "", None, [], 1.0])
    def test_a_flag_is_true_or_false(self, value: Any) -> None:
        assert Flag().deserialize(True) is True
        assert Flag().deserialize(False) is False
        refusal(Flag(), value)

    @pytest.mark.parametrize("value", ["a", "phone-payments", "a1_b2-c3", "a" * 64])
    def test_keys_are_lower_case_words(self, value: str) -> None:
        assert Key().deserialize(value) == value

    @pytest.mark.parametrize(
        "value", ["", "A", "1a", "-a", "a-", "a--b", "a b", "a.b", "é", "a\n", "a" * 65, "../a", None, 5]
    )
    def test_other_keys_are_refused(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            Key().deserialize(value)


class TestId:
    TEXT = "01890000-0000-7000-8000-00000000000a"

    def test_its_usual_form_passes(self) -> None:
        assert Id().deserialize(self.TEXT) == UUID(self.TEXT)
        assert Id().deserialize(self.TEXT.upper()) == UUID(self.TEXT)

    @pytest.mark.parametrize("value", ["", "x", 5, None, b"0123456789abcdef", ["a"], TEXT + "\n", TEXT[:-1]])
    def test_what_is_no_identifier_is_refused(self, value: Any) -> None:
        refusal(Id(), value)

    @pytest.mark.parametrize("value", [TEXT.replace("-", ""), f"urn:uuid:{TEXT}", f"{{{TEXT}}}"])
    def test_other_forms_are_refused_as_its_sentence_says(self, value: str) -> None:
        assert refusal(Id(), value) == "Write an identifier as 36 characters, like the one you were given."


class TestDayAndMoment:
    def test_a_day_is_written_as_iso_does(self) -> None:
        assert Day().deserialize("2026-03-31") == date(2026, 3, 31)

    @pytest.mark.parametrize(
        "value",
        ["", "31/03/2026", "2026-3-31", "2026-02-30", "2026-03-31T00:00:00", 20260331, None, "20260331", "2026-W14-2"],
    )
    def test_other_forms_of_a_day_are_refused(self, value: Any) -> None:
        refusal(Day(), value)

    def test_a_moment_becomes_utc(self) -> None:
        noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
        for written in ("2026-07-01T12:00:00+00:00", "2026-07-01T13:00:00+01:00", "2026-07-01T12:00:00Z"):
            assert Moment().deserialize(written) == noon
            assert Moment().deserialize(written).tzinfo is UTC

    @pytest.mark.parametrize("value", ["", "now", 5, None, [], "2026-07-01T25:00:00Z"])
    def test_what_is_no_moment_is_refused(self, value: Any) -> None:
        refusal(Moment(), value)

    @pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
    def test_a_moment_that_has_no_utc_is_refused_like_any_other(self, value: str) -> None:
        """Anything but a ValidationError goes past the reader of events and ends the service."""
        refusal(Moment(), value)

    @pytest.mark.parametrize("value", ["2026-28", "26-27", "", None, 2026])
    def test_a_financial_year_is_one(self, value: Any) -> None:
        refusal(FinancialYear(), value)


@given(
    field=st.sampled_from(
        [Id(), Text(max_length=9), Key(), Gss(), Pence(), WholeNumber(minimum=0, maximum=9), DecimalString(), Day(),
         Moment(), FinancialYear(), Person(), Flag()]
    ),
    value=ANYTHING,
)  # fmt: skip
def test_no_field_fails_otherwise_than_by_refusing(field: fields.Field[Any], value: Any) -> None:
    try:
        field.deserialize(value)
    except ValidationError:
        return


class TestCommandsAndMessages:
    def test_a_request_becomes_a_command_and_strangers_are_refused(self) -> None:
        class Greet(CommandSchema):
            name = Text(required=True, max_length=9)

        assert Greet().load({"name": "Ann"}) == Command(name="Ann")
        with pytest.raises(ValidationError):
            Greet().load({"name": "Ann", "age": 5})

    def test_nested_messages_become_dotted_paths(self) -> None:
        nested = {
            "title": ["Missing."],
            "benefits": {0: {"baseline": {"value": ["Bad."]}, "_schema": ["Odd."]}, 11: ["Wrong."]},
            "_schema": ["All of it.", "Really."],
        }
        assert flatten(nested) == {
            "title": ["Missing."],
            "benefits.0.baseline.value": ["Bad."],
            "benefits.0": ["Odd."],
            "benefits.11": ["Wrong."],
            "": ["All of it.", "Really."],
        }

    def test_a_list_or_an_object_that_is_too_long_is_refused_before_anything_in_it_is_looked_at(self) -> None:
        two = validate.Length(max=2, error="Name at most {max}.")
        for field in (Items(fields.Integer(), validate=two), Table(values=fields.Integer(), validate=two)):
            wrong: Any = ["x"] * 3 if isinstance(field, Items) else dict.fromkeys("abc", "x")
            assert refusal(field, wrong) == "Name at most 2."

    def test_what_a_sender_got_wrong_is_told_in_bounds_and_in_what_can_be_printed(self) -> None:
        told = faults({"\u202e" + "k" * 10_000: ["Odd."]} | {f"f{n}": ["x" * 10_000, "ü"] for n in range(10_000)})
        assert len(json.dumps(told)) < MAX_FAULTS_BYTES + 2 * MAX_FAULT_LENGTH + 100
        [more] = told.pop("")
        for path, sentences in told.items():
            assert path.isprintable()
            assert max(len(path), *map(len, sentences)) <= MAX_FAULT_LENGTH
        number = sum(map(len, told.values()))
        assert number > 1_500
        assert more == f"There are {20_001 - number:,} more faults; correct these first."

    def test_what_is_never_told_is_never_worked_out(self) -> None:
        """A request of a megabyte can have a hundred thousand names that nobody knows, each to be likened to others."""

        class Counting(NoSuchField):
            asked = 0

            def sentence(self, name: object) -> str:
                Counting.asked += 1
                return super().sentence(name)

        told = faults({f"requested{n}": [Counting(["requested_pence"])] for n in range(100_000)})
        assert told["requested7"] == ["There is no field requested7 here; did you mean requested_pence?"]
        assert Counting.asked == len(told) - 1 < 10_000

    def test_a_single_sentence_is_a_list_of_one(self) -> None:
        assert flatten({"a": "Bad."}) == {"a": ["Bad."]}
        assert flatten({}) == {}
