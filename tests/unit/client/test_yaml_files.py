"""YAML as people write proposals: only true and false are booleans, a date stays the text it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from commonweal import load_yaml


def load(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{value: '0', on: 2026-03-31}", {"value": "0", "on": "2026-03-31"}),
        ("on: 1", {"on": 1}),
        ("off: no", {"off": "no"}),
        ("[yes, no, on, off, y, n, Yes, NO]", ["yes", "no", "on", "off", "y", "n", "Yes", "NO"]),
        ("[true, false]", [True, False]),
        ("[True, TRUE, truee, 'true']", ["True", "TRUE", "truee", "true"]),
        ("[2026-03-31, 2026-03-31T09:30:00Z, 2026-27, 2027-Q3, 2026-10]",
         ["2026-03-31", "2026-03-31T09:30:00Z", "2026-27", "2027-Q3", "2026-10"]),
        ("[25000000, 1_000, 0.5, '25', null, ~]", [25_000_000, 1000, 0.5, "25", None, None]),
        ("[0100, 0x1F, 0b11, 1:30, 25_, 007, +5, -1, 0]", ["0100", "0x1F", "0b11", "1:30", "25_", "007", 5, -1, 0]),
        ("S12000036", "S12000036"),
        ("title: Comhairle nan Eilean Siar agus ùr", {"title": "Comhairle nan Eilean Siar agus ùr"}),
        ("", None),
    ],
)  # fmt: skip
def test_it_is_read_as_it_was_meant(tmp_path: Path, text: str, value: Any) -> None:
    assert load(tmp_path, text) == value


def test_the_path_may_be_a_text(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a: 1")
    assert load_yaml(str(tmp_path / "file.yaml")) == {"a": 1}


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\t- x", "a: *nowhere"])
def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="line 1"):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [exit 1]", "!!python/name:os.system", "!x 1"])
def test_a_file_makes_data_and_nothing_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load(tmp_path, text)


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError, match=r"requested_pence is given twice, first on line 1\n.*line 3"):
        load(tmp_path, "requested_pence: 1\ntitle: x\nrequested_pence: 2\n")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        load_yaml(tmp_path / "absent.yaml")


def test_others_who_use_the_library_are_not_disturbed(tmp_path: Path) -> None:
    load(tmp_path, "on: 1")
    assert yaml.safe_load("[yes, 2026-03-31]")[0] is True
