"""Money is whole pence. It is split and shown here, and it never rounds away."""

from collections.abc import Sequence


def split_by_largest_remainder(total_pence: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to whole-number weights so that the parts add up to it exactly.

    The method of largest remainders (Hamilton): each part first gets its share rounded down, then the pennies left
    over go one each to the largest remainders. Equal remainders are served in the order given, so callers pass
    councils sorted by GSS code.

    :param total_pence: the amount to split, zero or more.
    :param weights: one whole number per part, zero or more, not all zero.
    :returns: the parts in pence, in the order of the weights; their sum is ``total_pence``.
    :raises ValueError: for a negative amount or weight, or weights that are empty or all zero.
    """
    if total_pence < 0:
        raise ValueError("the amount to split is negative")
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    whole = sum(weights)
    if whole == 0:
        raise ValueError("there is nobody to split the amount between")
    parts = [total_pence * weight // whole for weight in weights]
    remainders = [total_pence * weight % whole for weight in weights]
    left_over = total_pence - sum(parts)
    for index in sorted(range(len(weights)), key=lambda index: (-remainders[index], index))[:left_over]:
        parts[index] += 1
    return parts


def format_pounds(amount_pence: int) -> str:
    """Return an amount as people write it: ``£250,000`` when it is whole pounds, else ``£1,234.56``; minus in front."""
    pounds, pence = divmod(abs(amount_pence), 100)
    sign = "-" if amount_pence < 0 else ""
    return f"{sign}£{pounds:,}" + (f".{pence:02d}" if pence else "")


def decimal_pounds(amount_pence: int) -> str:
    """Return an amount as spreadsheets read it: pounds with two decimals, ``-1234.56``, without a sign of currency."""
    pounds, pence = divmod(abs(amount_pence), 100)
    return f"{'-' if amount_pence < 0 else ''}{pounds}.{pence:02d}"
