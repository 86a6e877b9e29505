"""``commonweal proposal check``, as it is installed, against services that run as processes on real servers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from commonweal import load_yaml
from shared import periods
from shared.security.principal import CDO, PROPOSER, TREASURER
from tests.support.proposals import ABERDEENSHIRE, EAST_DUNBARTONSHIRE, EDINBURGH, GLASGOW, content
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, fresh_stage

COMMAND = Path(sys.executable).with_name("commonweal")
EXAMPLES = Path(__file__).parents[3] / "examples"
PROGRAMME = load_yaml(EXAMPLES / "programme.yaml")
ELIGIBLE, NOT_ELIGIBLE, UNUSABLE = 0, 1, 2

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def stage(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Proposals and funding; the demo's councils are members, and the demo's round is open."""
    with fresh_stage(servers, tmp_path_factory.mktemp("stage"), services=("proposals", "funding")) as running:
        starts_on = periods.parse_year(periods.year_of(today())).starts_on
        treasurer = running.caller(TREASURER)
        pool_id = treasurer.funding.create_pool(
            name="Test pool", starts_on=f"{starts_on}", ends_on=f"{date(starts_on.year + 3, 3, 31)}"
        )["pool_id"]
        for member in PROGRAMME["members"]:
            treasurer.funding.add_member(pool_id=pool_id, council=member["council"], joins_on=f"{starts_on}")
        yield running


@pytest.fixture(scope="module")
def called(stage: Stage) -> dict[str, Any]:
    """The round that is open, with the terms of the demo's; the councils have become members."""
    opened: dict[str, Any] = open_round(stage)
    whole = load_yaml(EXAMPLES / "proposals" / "telecare.yaml")
    cdo = stage.caller(CDO)
    eventually(lambda: cdo.proposals.check_content(round_id=opened["round_id"], content=whole)["eligible"])
    return opened


@pytest.fixture
def run(stage: Stage, called: dict[str, Any], tmp_path: Path) -> Run:
    """Runs the command in a directory of its own, as a proposer of Edinburgh; a traceback is never right."""
    token = stage.signing_key.issue("lead@edinburgh.example", [PROPOSER], council=EDINBURGH)

    def run_one(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"COMMONWEAL_AMQP_URI": stage.amqp_uri, "COMMONWEAL_TOKEN": token, **environment}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("COMMONWEAL_")}
        done = subprocess.run(
            [str(COMMAND), *map(str, arguments)],
            cwd=tmp_path,
            env={**plain, **{name: value for name, value in known.items() if value}},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
        return done

    return run_one


def today() -> date:
    return datetime.now(UTC).date()


def open_round(stage: Stage, **changes: Any) -> dict[str, Any]:
    window = {"opens_on": f"{today()}", "closes_on": f"{today() + timedelta(days=30)}"}
    opened: dict[str, Any] = stage.caller(CDO).proposals.open_round(**{**PROGRAMME["round"], **window, **changes})
    return opened


def written(path: Path, body: Any) -> Path:
    path.write_text(body if isinstance(body, str) else yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return path


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence with which the command could not do what it is for."""
    assert (done.returncode, done.stdout) == (UNUSABLE, "")
    assert done.stderr.startswith("Error: ")
    return done.stderr


@pytest.mark.parametrize("key", PROGRAMME["proposals"])
def test_every_example_is_eligible_in_the_round_of_the_demo(run: Run, called: dict[str, Any], key: str) -> None:
    done = run("proposal", "check", EXAMPLES / "proposals" / f"{key}.yaml")
    assert (done.returncode, done.stderr) == (ELIGIBLE, "")
    heading, blank, *rules = done.stdout.splitlines()
    assert heading.endswith(f"for {called['reference']} {called['title']}, is eligible on {today()}.")
    assert blank == ""
    assert len(rules) == 8
    assert all(rule.startswith("met      ") for rule in rules)


def test_a_file_with_thirty_mistakes_gets_thirty_sentences_at_their_lines(run: Run, tmp_path: Path) -> None:
    text = (EXAMPLES / "proposals" / "telecare.yaml").read_text(encoding="utf-8")
    text = text.replace("requested_pence: ", "requested_pence: 0.5 # ").replace("title: ", "titel: ", 1)
    body = written(tmp_path / "mine.yaml", text)
    whole = load_yaml(body)
    whole["costs"] += [{"year": 2026, "category": "fun", "amount_pence": "1"}] * 9
    done = run("proposal", "check", written(tmp_path / "many.yaml", whole), "--json")
    assert done.returncode == NOT_ELIGIBLE
    problems = json.loads(done.stdout)["problems"]
    assert len(problems) == 30
    lines = (tmp_path / "many.yaml").read_text().splitlines()
    for problem in problems:
        name = problem["path"].rpartition(".")[2]
        assert problem["line"] is None if name == "title" else f"{name}:" in lines[problem["line"] - 1]

    done = run("proposal", "check", "mine.yaml")
    number = 1 + text.splitlines().index(next(line for line in text.splitlines() if "requested_pence" in line))
    assert f"\nmine.yaml:{number}: requested_pence: This is a number with a decimal point" in done.stdout
    assert "\nmine.yaml: title: Give the proposal a title" in done.stdout
    assert "titel: There is no field titel here; did you mean title?" in done.stdout
    assert "\nnot met  content_complete: Missing or wrong: " in done.stdout
    assert "\nnot yet  under_ceiling: To be told once this is there and right: requested_pence." in done.stdout


def test_what_the_command_says_a_submission_says_too(run: Run, stage: Stage, called: dict[str, Any]) -> None:
    body = content(participants=[ABERDEENSHIRE, GLASGOW], match_funding_pence=1)
    del body["problem"]
    lead = stage.caller(PROPOSER, council=EDINBURGH)
    created = lead.proposals.create_proposal(round_id=called["round_id"], content=body)
    stored = run("proposal", "check", "--proposal", created["reference"], "--json")
    by_id = run("proposal", "check", "--proposal", created["proposal_id"], "--json")
    assert stored.returncode == by_id.returncode == NOT_ELIGIBLE
    assert stored.stdout == by_id.stdout
    answer = json.loads(stored.stdout)
    assert answer["proposal"] == created["reference"]
    checked = lead.proposals.check_eligibility(proposal_id=created["proposal_id"])
    assert answer["rules"] == checked["rules"]
    shown = run("proposal", "check", "--proposal", created["reference"]).stdout
    assert shown.startswith(f"{created['reference']} is not eligible on {today()}: 1 problem, ")
    assert f"\n{created['reference']}: problem: Say what problem residents or staff have today" in shown
    assert "P-2016-9999" in refused(run("proposal", "check", "--proposal", "P-2016-9999"))


def test_a_council_that_is_none_and_one_that_is_no_member_are_told_apart(run: Run, tmp_path: Path) -> None:
    whole = content(participants=["S12000099", EAST_DUNBARTONSHIRE, GLASGOW], ceiling=1)
    done = run("proposal", "check", written(tmp_path / "mine.yaml", whole))
    assert "participants.0: This is not the GSS code of a Scottish council" in done.stdout
    assert "\nnot met  councils_are_members: Not a member of a pool on" in done.stdout


def test_json_is_read_too(run: Run, tmp_path: Path) -> None:
    whole = load_yaml(EXAMPLES / "proposals" / "telecare.yaml")
    written(tmp_path / "mine.json", json.dumps(whole, indent="\t"))
    assert run("proposal", "check", "mine.json").returncode == ELIGIBLE
    del whole["benefits"][0]["unit"]
    written(tmp_path / "mine.json", json.dumps(whole, indent="\t"))
    [problem] = json.loads(run("proposal", "check", "mine.json", "--json").stdout)["problems"]
    assert problem["path"] == "benefits.0.unit"
    lines = (tmp_path / "mine.json").read_text().splitlines()
    assert lines[problem["line"] - 1].strip() == "{"


def test_the_round_is_named_when_not_just_one_is_open(run: Run, stage: Stage, called: dict[str, Any]) -> None:
    example = EXAMPLES / "proposals" / "telecare.yaml"
    dear = open_round(stage, title="A smaller round", ceiling_pence=1)
    try:
        said = refused(run("proposal", "check", example))
        assert "2 rounds are open; name one with --round." in said
        for each in (called, dear):
            assert f"\n  {each['reference']}  open until {each['closes_on']}  {each['title']}\n" in said
        assert run("proposal", "check", example, "--round", called["reference"].lower()).returncode == ELIGIBLE
        done = run("proposal", "check", example, "--round", dear["round_id"])
        assert done.returncode == NOT_ELIGIBLE
        assert "not met  under_ceiling" in done.stdout
        assert "There is no round R-1999-0001." in refused(run("proposal", "check", example, "--round", "R-1999-0001"))
        none = "00000000-0000-7000-8000-000000000000"
        assert "There is no such round" in refused(run("proposal", "check", example, "--round", none))
    finally:
        stage.caller(CDO).proposals.close_round(round_id=dear["round_id"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title: x\nproblem: [1, 2\n", "mine.yaml:3: this is not YAML"),
        ("requested_pence: .nan", "must be JSON values"),
        ("requested_pence: " + "9" * 500, "more than 64 digits"),
    ],
    ids=["no YAML", "no number", "too many digits"],
)
def test_a_file_that_cannot_be_sent_is_told_in_a_sentence(run: Run, tmp_path: Path, text: str, sentence: str) -> None:
    written(tmp_path / "mine.yaml", text)
    assert sentence in refused(run("proposal", "check", "mine.yaml"))


def test_whoever_may_not_ask_or_cannot_be_heard_is_told_why(run: Run, stage: Stage, tmp_path: Path) -> None:
    example = EXAMPLES / "proposals" / "telecare.yaml"

    def token(*roles: str, **options: Any) -> str:
        return stage.signing_key.issue("somebody@test.example", roles, **options)

    long_ago = datetime.now(UTC) - timedelta(days=2)
    old = token(PROPOSER, council=EDINBURGH, now=long_ago, lifetime=timedelta(hours=1))
    assert "expired" in refused(run("proposal", "check", example, COMMONWEAL_TOKEN=old))
    assert "takes one of the roles cdo, proposer" in refused(
        run("proposal", "check", example, COMMONWEAL_TOKEN=token(TREASURER))
    )
    nowhere = run("proposal", "check", example, "--timeout", "0.6", "--amqp-uri", "amqp://a:hunter2@127.0.0.1:1/")
    assert "The broker cannot be reached" in refused(nowhere)
    assert "hunter2" not in nowhere.stderr
    assert "must look like amqp://" in refused(run("proposal", "check", example, COMMONWEAL_AMQP_URI="127.0.0.1"))
    assert "Name the broker" in refused(run("proposal", "check", example, COMMONWEAL_AMQP_URI=""))
    assert "Name your token" in refused(run("proposal", "check", example, COMMONWEAL_TOKEN=""))
    both = {"COMMONWEAL_TOKEN_FILE": "token"}
    assert "not both" in refused(run("proposal", "check", example, **both))
    assert "cannot be read" in refused(run("proposal", "check", example, COMMONWEAL_TOKEN="", **both))
    written(tmp_path / "token", token(CDO) + "\n")
    written(tmp_path / "broker", stage.amqp_uri)
    files = {"COMMONWEAL_AMQP_URI": "", "COMMONWEAL_AMQP_URI_FILE": "broker", "COMMONWEAL_TOKEN": ""}
    assert run("proposal", "check", example, **files, **both).returncode == ELIGIBLE
    assert run("proposal", "check", example, "--token-file", "token", **files).returncode == ELIGIBLE


def test_nothing_of_a_file_or_an_answer_commands_the_terminal(run: Run, tmp_path: Path) -> None:
    whole = content(**{"\x1b[2Jtitle": 1, "\u202ekey": 2})
    written(tmp_path / "\x1b[31m.yaml", whole)
    done = run("proposal", "check", "\x1b[31m.yaml")
    assert done.returncode == NOT_ELIGIBLE
    assert "\\x1b[31m.yaml" in done.stdout
    assert "\\u202ekey" in done.stdout


def test_a_terminal_that_knows_no_pound_sign_is_shown_its_escape(run: Run) -> None:
    example = EXAMPLES / "proposals" / "telecare.yaml"
    done = run("proposal", "check", example, PYTHONIOENCODING="cp1251")
    assert (done.returncode, done.stderr) == (ELIGIBLE, "")
    assert "Requested is \\xa3418,000" in done.stdout


def test_it_says_which_version_it_is(run: Run) -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, "commonweal 0.1.0\n")
