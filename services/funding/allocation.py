"""How the councils of a pool share what a financial year costs (design, section 7), in plain Python."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from shared import councils
from shared.errors import Conflict, Invalid
from shared.money import format_pounds, split_by_largest_remainder


class Scheme(StrEnum):
    """How a year's contributions are shared: all the same, by population, or as the partnership agreed."""

    EQUAL = "equal"
    POPULATION = "population"
    FIXED = "fixed"


def shares(
    scheme: str, total_pence: int, members: Collection[str], fixed: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return what each member pays, by GSS code in the order of the codes; together exactly ``total_pence``.

    Pennies that an exact share would cut go to the largest remainders, equal ones in the order of the GSS codes.
    Populations are those of mid 2016 (National Records of Scotland).

    :param scheme: one of :class:`Scheme`.
    :param total_pence: what the members pay together.
    :param members: the GSS codes of the councils that are members during the year.
    :param fixed: pence by GSS code; with the scheme ``fixed`` and no other.
    :raises Conflict: ``no_members`` when there is nobody to pay.
    :raises Invalid: when ``fixed`` is missing or out of place, does not name exactly the members, or does not add up.
    """
    payers = sorted(members)
    if not payers:
        raise Conflict("no_members", "No council is a member of the pool in that year; add its members first.")
    if scheme == Scheme.FIXED:
        return _fixed_shares(total_pence, payers, fixed)
    if fixed is not None:
        raise _invalid_fixed(
            "fixed_not_wanted", f"Shares are computed when the scheme is {scheme}; leave fixed out, or set the scheme."
        )
    weights = [1] * len(payers) if scheme == Scheme.EQUAL else [_population_of(payer) for payer in payers]
    return dict(zip(payers, split_by_largest_remainder(total_pence, weights), strict=True))


def _population_of(council: str) -> int:
    return councils.all_councils()[council].population


def _fixed_shares(total_pence: int, payers: list[str], fixed: Mapping[str, int] | None) -> dict[str, int]:
    if fixed is None:
        raise _invalid_fixed("fixed_missing", "The scheme is fixed: give what each member pays in fixed.")
    forgotten = [council for council in payers if council not in fixed]
    strangers = sorted(council for council in fixed if council not in payers)
    if forgotten or strangers:
        faults = {f"fixed.{council}": ["This member has no share."] for council in forgotten}
        faults |= {f"fixed.{council}": ["This council is not a member in that year."] for council in strangers}
        raise Invalid(
            "fixed_not_the_members",
            "Give a share for each council that is a member of the pool in that year, and for no other.",
            faults,
        )
    given_pence = sum(fixed.values())
    if given_pence != total_pence:
        raise _invalid_fixed(
            "fixed_does_not_add_up",
            f"The shares add up to {format_pounds(given_pence)} and the total is {format_pounds(total_pence)};"
            " change one of them.",
        )
    return {council: fixed[council] for council in payers}


def _invalid_fixed(code: str, sentence: str) -> Invalid:
    return Invalid(code, sentence, {"fixed": [sentence]})
