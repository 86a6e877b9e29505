"""What holds of everything that is recorded as having happened elsewhere."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from shared.errors import Conflict, Invalid


def check_not_in_the_future(field: str, day: date, today: date) -> None:
    """Refuse to record what has not happened yet. :raises Invalid: naming the field."""
    if day > today:
        sentence = f"{day} is in the future; record the money once it has moved."
        raise Invalid("in_the_future", sentence, {field: [sentence]})


def check_same_facts(reference_field: str, reference: str, recorded: object, given: Mapping[str, Any]) -> None:
    """Refuse a reference that was recorded before with other facts; with the same ones it is the same money again.

    :param reference_field: the field that holds the bank's or the payment's reference.
    :param recorded: what was recorded first.
    :param given: the facts of now, by the name of their attribute and field.
    :raises Conflict: ``reference_used``, naming the facts that differ.
    """
    differing = {
        name: [f"Recorded before as {getattr(recorded, name)}."]
        for name, fact in given.items()
        if getattr(recorded, name) != fact
    }
    if differing:
        raise Conflict(
            "reference_used",
            f"{reference} is recorded already, with other facts: a reference counts once in a pool."
            f" Correct {', '.join(sorted(differing))} or {reference_field}.",
            differing,
        )


def check_reference_is_free(bank_reference: str, *, used: bool) -> None:
    """Refuse a reference under which other money came in. :raises Conflict: ``reference_used``.

    :param used: whether the pool's ledger has a receipt, a return or a clawback of that reference.
    """
    if used:
        sentence = f"Money came into this pool as {bank_reference} before, from elsewhere; correct the reference."
        raise Conflict("reference_used", sentence, {"bank_reference": [sentence]})
