"""Each promise in the docs names its test, and the test is there (design, rule 9)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `tests/faults/test_x.py::test_y` or `::TestZ::test_y`, as pytest takes it; a file or a folder may be named too.
NAMED_TEST = re.compile(r"`(tests/[\w/.-]+?)((?:::\w+)+)?`")

DOCS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "services/*/README.md", "client/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)


@cache
def names_in(path: Path) -> set[str]:
    """The tests and classes of a file as pytest names them."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(f"::{node.name}")
        if isinstance(node, ast.ClassDef):
            names |= {f"::{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("doc", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCS])
def test_every_test_that_is_named_exists(doc: Path) -> None:
    for place, name in NAMED_TEST.findall(doc.read_text()):
        assert (ROOT / place).exists(), f"{place} is named in {doc.name} and is not there"
        if name:
            assert name in names_in(ROOT / place), f"{place}{name} is named in {doc.name} and is not there"


def test_every_guarantee_of_messaging_names_its_test() -> None:
    text = (ROOT / "docs/messaging.md").read_text()
    table = text.partition("## What is promised")[2].partition("\n## ")[0]
    promises = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [line for line in promises if not line.startswith("| promise ")]
    assert len(promises) > 20
    for promise in promises:
        assert NAMED_TEST.search(promise.split("|")[3]), f"no test is named for: {promise}"
