"""A file of a proposal, read with the line of each part; and what is said of one that cannot be."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal import load_yaml
from commonweal.documents import MAX_BYTES, Document, UnreadableDocument, read_document

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "proposals").glob("*.yaml"))

TEXT = """\
# A proposal
title: Payments
costs:
  - year: 2026-27
    amount_pence: 5
  - {year: 2027-28,
     amount_pence: 6}
benefits: []
'on': {value: "0"}
"""


def read(directory: Path, text: str | bytes, name: str = "file.yaml") -> Document:
    path = directory / name
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return read_document(path)


def test_each_part_has_its_line(tmp_path: Path) -> None:
    document = read(tmp_path, TEXT)
    assert dict(document.lines) == {
        "title": 2,
        "costs": 3,
        "costs.0": 4,
        "costs.0.year": 4,
        "costs.0.amount_pence": 5,
        "costs.1": 6,
        "costs.1.year": 6,
        "costs.1.amount_pence": 7,
        "benefits": 8,
        "on": 9,
        "on.value": 9,
    }


def test_what_is_not_there_is_looked_for_around_it(tmp_path: Path) -> None:
    document = read(tmp_path, TEXT)
    assert document.line_of("costs.1.category") == 6
    assert document.line_of("costs.7.category.deep") == 3
    assert document.line_of("problem") is None
    assert document.line_of("") is None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_data_are_what_load_yaml_gives(path: Path) -> None:
    assert read_document(path).content == load_yaml(path)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.text(max_size=9) | st.integers() | st.none(), lambda x: st.dictionaries(st.text(max_size=5), x)))
def test_json_is_the_data_that_it_says_and_has_lines_if_it_can(value: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        text = json.dumps({"title": value, "costs": [1]}, indent="\t")
        document = read(Path(directory), text, "FILE.JSON")
    assert document.content == {"title": value, "costs": [1]}
    assert document.lines.get("title", 2) == 2


@pytest.mark.parametrize("text", ["", "# words\n", "---\n", "\ufeff"])
def test_an_empty_file_holds_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).content is None


BILLIONS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
UNREADABLE: dict[str, tuple[str | bytes, str, int | None]] = {
    "unclosed": ("title: [1, 2\nb: c", "this is not YAML: while parsing a flow sequence", 2),
    "a tab": ("title:\n\t- x", "this is not YAML", 2),
    "two documents": ("a: 1\n---\nb: 2\n", "this is not YAML: expected a single document", 2),
    "twice": ("a: 1\nb:\n  c: 1\n  c: 2\n", "this is not YAML: c is given twice, first on line 3", 4),
    "an escape": ("title: x\nproblem: \x1b[2J", "a character cannot stand in it", 2),
    "Latin 1": (b"title: x\nproblem: caf\xe9\n", "it is not UTF-8 text", 2),
    "deep": ("a: " + "[" * 3_000, "it is nested too deeply", None),
    "large": ("x" * (MAX_BYTES + 1), "it has more than 1,048,576 bytes", None),
    "digits": ("a: " + "9" * 5_000, "a value cannot be read", None),
    "billions": (BILLIONS, "it holds more than 200,000 values", None),
    "in itself": ("a: &a [*a]", "it is nested too deeply, or within itself", 1),
    "an object": ("a: !!python/name:os.system x", "this is not YAML", 1),
}


@pytest.mark.parametrize(("text", "sentence", "line"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, sentence: str, line: int | None
) -> None:
    with pytest.raises(UnreadableDocument) as refusal:
        read(tmp_path, text)
    assert str(refusal.value).startswith(sentence) or sentence in str(refusal.value)
    assert refusal.value.line == line


@pytest.mark.parametrize(
    ("text", "sentence", "line"),
    [
        ('{"a": 1,\n "b": }', "this is not JSON: Expecting value", 2),
        ('{"a": {"b": 1, "b": 2}}', "this is not JSON: b is given twice", None),
        ('{"a": ' + "9" * 5_000 + "}", "this is not JSON: ", None),
        ("[" * 100_000, "it is nested too deeply", None),
        ("title: x", "this is not JSON: ", 1),
    ],
    ids=["half", "twice", "digits", "deep", "YAML"],
)
def test_so_is_json(tmp_path: Path, text: str, sentence: str, line: int | None) -> None:
    with pytest.raises(UnreadableDocument) as refusal:
        read(tmp_path, text, "file.json")
    assert str(refusal.value).startswith(sentence)
    assert refusal.value.line == line


def test_what_is_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_document(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "absent")


def test_an_alias_has_the_lines_of_what_it_stands_for(tmp_path: Path) -> None:
    document = read(tmp_path, "a: &a\n  b: 1\nc: *a\nd:\n  <<: *a\n  b: 2\n")
    assert document.content == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}}
    assert (document.line_of("a.b"), document.line_of("c.b"), document.line_of("d.b")) == (2, 2, 6)
