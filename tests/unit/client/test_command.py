"""The command without a broker: what it asks for first, what it shows, how it ends.

``tests/integration/client`` runs it as it is installed, against services.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commonweal.cli.finding import every, is_id, round_named
from commonweal.cli.main import commonweal
from commonweal.cli.screen import Unusable, count, printable

UNUSABLE = 2


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(commonweal, [str(argument) for argument in arguments], env={"COMMONWEAL_AMQP_URI": ""})
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done


def refused(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == UNUSABLE, done.output
    return done.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "mine.yaml is empty; a proposal has at least a title and a lead_council."),
        ("- a\n- b\n", "mine.yaml is no proposal"),
        ("just words", "mine.yaml is no proposal"),
        ("title: x\nproblem: y\ntitle: z\n", "mine.yaml:3: this is not YAML: title is given twice, first on line 1."),
        ("a: *\x41\x1b[2J", "mine.yaml:1: this is not YAML"),
        ("a: *nowhere\u202e", "mine.yaml:1: this is not YAML"),
    ],
)
def test_a_file_that_is_no_proposal_is_told_before_anything_else(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    said = refused("proposal", "check", tmp_path / "mine.yaml")
    assert sentence in said
    assert all(line.isprintable() for line in said.splitlines())


def test_so_is_what_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory." in refused("proposal", "check", tmp_path)
    assert "cannot be read: No such file" in refused("proposal", "check", tmp_path / "absent")


def test_what_does_not_go_together_is_refused() -> None:
    assert "Name a FILE, or a stored proposal" in refused("proposal", "check")
    assert "Name a FILE, or a stored proposal" in refused("proposal", "check", "mine.yaml", "--proposal", "P-1")
    assert "leave --round out" in refused("proposal", "check", "--proposal", "P-1", "--round", "R-1")
    assert "Name the broker" in refused("proposal", "check", "--proposal", "P-1")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Comhairle nan Eilean Siar £5", "Comhairle nan Eilean Siar £5"),
        ("\x1b[2J\r\n\x07", "\\x1b[2J\\r\\n\\x07"),
        ("\u202e\u200b\ud800", "\\u202e\\u200b\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_numbers_of_things() -> None:
    assert [count(number, "problem") for number in (0, 1, 1_200)] == ["0 problems", "1 problem", "1,200 problems"]


class Rounds:
    """Stands for a client: its rounds, two a page."""

    def __init__(self, *states: str) -> None:
        self.items = [
            {"round_id": f"id-{n}", "reference": f"R-2026-{n:04d}", "title": f"Round {n}", "state": state,
             "closes_on": "2026-11-30"}
            for n, state in enumerate(states, start=1)
        ]  # fmt: skip
        self.proposals: Any = self

    def list_rounds(self, *, limit: int, cursor: str | None = None) -> dict[str, Any]:
        assert limit > 0
        first = int(cursor or 0)
        more = first + 2 < len(self.items)
        return {"items": self.items[first : first + 2], "next_cursor": str(first + 2) if more else None}

    def get_round(self, *, round_id: str) -> dict[str, Any]:
        return {"round_id": round_id}


def test_a_list_is_read_to_its_end() -> None:
    assert [each["title"] for each in every(Rounds(*["open"] * 5).list_rounds)] == [f"Round {n}" for n in range(1, 6)]


def test_the_one_round_that_is_open_needs_no_name() -> None:
    client: Any = Rounds("decided", "closed", "open", "planned")
    assert round_named(client, None)["round_id"] == "id-3"
    assert round_named(client, "r-2026-0004")["round_id"] == "id-4"
    some_id = "01a20bd9-86db-7221-b66a-20344bc221af"
    assert round_named(client, some_id) == {"round_id": some_id}


@pytest.mark.parametrize(
    ("states", "name", "lines"),
    [
        ([], None, ["No round is open; name one with --round."]),
        (["closed", "planned"], None, [
            "No round is open; name one with --round.",
            "  R-2026-0002  planned until 2026-11-30  Round 2",
            "  R-2026-0001  closed until 2026-11-30  Round 1",
        ]),
        (["open", "closed", "open"], None, [
            "2 rounds are open; name one with --round.",
            "  R-2026-0003  open until 2026-11-30  Round 3",
            "  R-2026-0001  open until 2026-11-30  Round 1",
        ]),
        (["open"], "R-1", ["There is no round R-1.", "  R-2026-0001  open until 2026-11-30  Round 1"]),
    ],
)  # fmt: skip
def test_else_those_that_there_are_are_named(states: list[str], name: str | None, lines: list[str]) -> None:
    client: Any = Rounds(*states)
    with pytest.raises(Unusable) as refusal:
        round_named(client, name)
    assert refusal.value.message.splitlines() == lines


@pytest.mark.parametrize("name", ["R-2026-0001", "", "x" * 36, "01a20bd986db7221b66a20344bc221af"])
def test_a_reference_is_no_id(name: str) -> None:
    assert not is_id(name)


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = Path(sys.executable).with_name("commonweal")
    done = subprocess.run([command, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (UNUSABLE, b"")
