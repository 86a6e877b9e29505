"""Scotland's 32 councils: GSS codes, names, mid-2016 populations (National Records of Scotland)."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True)
class Council:
    """A council. ``gss_code`` is its Government Statistical Service code; ``population`` counts people in mid 2016."""

    gss_code: str
    name: str
    population: int


@cache
def all_councils() -> MappingProxyType[str, Council]:
    """Return every council by GSS code, in the order of the codes."""
    lines = files("shared").joinpath("data/councils.csv").read_text().splitlines()
    councils = [Council(row["gss_code"], row["name"], int(row["population_mid_2016"])) for row in csv.DictReader(lines)]
    return MappingProxyType({council.gss_code: council for council in sorted(councils, key=lambda c: c.gss_code)})


def is_council(gss_code: str) -> bool:
    """Tell whether a code is one of the 32."""
    return gss_code in all_councils()


def name_of(gss_code: str) -> str:
    """Return a council's name, or the code itself when it is not a council's."""
    council = all_councils().get(gss_code)
    return council.name if council else gss_code
