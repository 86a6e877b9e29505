"""``commonweal proposal``: what a council's digital lead does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from commonweal.cli.connection import Connect, calls_services
from commonweal.cli.finding import proposal_named, round_named
from commonweal.cli.screen import Unusable, count, printable
from commonweal.documents import Document, UnreadableDocument, read_document

NOT_ELIGIBLE = 1
NOT_YET = "not yet"
VERDICTS = {True: "met", False: "not met", None: NOT_YET}


@click.group()
def proposal() -> None:
    """Proposals of a council."""


@proposal.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--round", "round_name", metavar="REFERENCE_OR_ID", help="The round, when not just one is open.")
@click.option("--proposal", "proposal_name", metavar="REFERENCE_OR_ID", help="Check a stored proposal, without FILE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@calls_services
def check(
    connect: Connect, file: Path | None, round_name: str | None, proposal_name: str | None, as_json: bool
) -> None:
    """Tell whether FILE, a proposal in YAML or JSON, could be submitted now, and all that is missing or wrong.

    Nothing is stored. The service decides, by the rules and the members of this moment, as it does for a submission.

    Ends with 0 when it is eligible, 1 when it is not, 2 when that cannot be told.
    """
    if (file is None) == (proposal_name is None):
        raise click.UsageError("Name a FILE, or a stored proposal with --proposal.")
    if file is not None:
        checked = _check_file(connect, file, round_name)
    elif round_name is not None:
        raise click.UsageError("A stored proposal has its round; leave --round out.")
    else:
        checked = _check_stored(connect, str(proposal_name))
    if as_json:
        click.echo(json.dumps(checked.as_json(), indent=2))
    else:
        for line in checked.lines():
            click.echo(printable(line))
    if not checked.answer["eligible"]:
        click.get_current_context().exit(NOT_ELIGIBLE)


@dataclass(frozen=True)
class _Checked:
    """What a service said of a proposal.

    :param name: the file or the reference.
    :param about: what it was checked for, as JSON and in words.
    """

    name: str
    about: dict[str, Any]
    words: str
    answer: dict[str, Any]
    document: Document = field(default_factory=Document)

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What is missing or wrong, from the top of the file down; what is missing altogether comes first."""
        found = [{**each, "line": self.document.line_of(each["path"])} for each in self.answer.get("problems", ())]
        return sorted(found, key=lambda each: each["line"] or 0)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        verdict = {name: self.answer[name] for name in ("eligible", "as_of")}
        return {**self.about, **verdict, "problems": self.problems, "rules": self.answer["rules"]}

    def lines(self) -> Iterator[str]:
        """Yield it for a person to read."""
        problems, rules = self.problems, self.answer["rules"]
        if self.answer["eligible"]:
            yield f"{self.words} is eligible on {self.answer['as_of']}."
        else:
            verdicts = [rule["met"] for rule in rules]
            told = f"{count(len(problems), 'problem')}, {count(verdicts.count(False), 'rule')} not met"
            if waiting := verdicts.count(None):
                told += f", {waiting} not yet to be told"
            yield f"{self.words} is not eligible on {self.answer['as_of']}: {told}."
        yield ""
        for each in problems:
            place = self.name if each["line"] is None else f"{self.name}:{each['line']}"
            yield ": ".join(filter(None, (place, each["path"], each["sentence"])))
        if problems:
            yield ""
        for rule in rules:
            yield f"{VERDICTS.get(rule['met'], NOT_YET):<8} {rule['rule']}: {rule['sentence']}"


def _check_file(connect: Connect, file: Path, round_name: str | None) -> _Checked:
    document = _read(file)
    with connect() as client:
        called = round_named(client, round_name)
        answer = client.proposals.check_content(round_id=called["round_id"], content=document.content)
    about = {"file": str(file), "round": {name: called[name] for name in ("round_id", "reference", "title")}}
    words = f"{file}, for {called['reference']} {called['title']},"
    return _Checked(str(file), about, words, answer, document)


def _check_stored(connect: Connect, name: str) -> _Checked:
    with connect() as client:
        answer = client.proposals.check_eligibility(proposal_id=proposal_named(client, name))
    reference = answer["reference"]
    return _Checked(reference, {"proposal": reference}, reference, answer)


def _read(file: Path) -> Document:
    try:
        document = read_document(file)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}.") from error
    except UnreadableDocument as error:
        place = file if error.line is None else f"{file}:{error.line}"
        raise Unusable(f"{place}: {error}.") from error
    if document.content is None:
        raise Unusable(f"{file} is empty; a proposal has at least a title and a lead_council.")
    if not isinstance(document.content, dict):
        raise Unusable(f"{file} is no proposal: that is a mapping of fields, from title to benefits.")
    return document
