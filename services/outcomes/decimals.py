"""Exact numbers: decimal strings in, fractions between, decimal strings out. Nothing here knows a float."""

from fractions import Fraction


def round_half_up(number: Fraction) -> int:
    """Return the nearest whole number; a half goes away from zero, as people round money."""
    magnitude = (2 * abs(number.numerator) + number.denominator) // (2 * number.denominator)
    return -magnitude if number < 0 else magnitude


def write(number: Fraction, *, places: int) -> str:
    """Return a number as a decimal string, rounded half up to so many places after the point."""
    scaled = round_half_up(number * 10**places)
    sign = "-" if scaled < 0 else ""
    digits = f"{abs(scaled):0{places + 1}d}"
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def places_of(value: str) -> int:
    """Return how many places after the point a decimal string is written with."""
    return len(value.partition(".")[2])
