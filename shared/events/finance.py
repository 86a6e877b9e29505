"""Events of the partnership's finance system: what its bank account says has happened."""

from marshmallow import Schema

from shared.fields import Day, Gss, Id, Key, Pence, Text


class ContributionReceived(Schema):
    """A council's money arrived in the partnership's account. The event's subject is the council.

    A pool counts a bank reference once, whoever tells of it and however often. Without a pool the money goes to the one
    pool that runs on the day and of which the council is a member then; is there none, or more than one, name it.
    """

    pool_id = Id(load_default=None, allow_none=True)
    council = Gss(required=True)
    amount_pence = Pence(required=True)
    bank_reference = Text(required=True, max_length=64)
    received_on = Day(required=True)


class PaymentMade(Schema):
    """A tranche was paid out of the partnership's account to the lead council, whole. The event's subject is the award.

    Only what two people have asked for and approved is paid: to the penny, once, and not before the approval.
    """

    award_id = Id(required=True)
    tranche = Key(required=True)
    amount_pence = Pence(required=True)
    payment_reference = Text(required=True, max_length=64)
    paid_on = Day(required=True)


EVENTS = (
    ("contribution_received", 1, ContributionReceived),
    ("payment_made", 1, PaymentMade),
)
