"""Whose event it is: the broker says who sent a message, and only those who pass events on are believed more."""

from typing import Any

import pytest

from shared.messaging import broker
from shared.messaging.dead_letters import Letter
from shared.messaging.publishers import LAID_BY_HEADER, PUBLISHER_HEADER, Publishers, WrongPublisher

OWN, OPS = "p-outcomes", "ops"
WHO = Publishers(OWN, users={"operator": OPS, "proposals": "writer"}, prefix="p-")


@pytest.mark.parametrize(
    ("user_id", "headers", "publisher"),
    [
        ("p-funding", {}, "p-funding"),
        (None, {}, None),
        ("", {}, None),
        (OWN, {}, OWN),
        (OPS, {}, OPS),
        # Passed on by the service, or sent again by the operator.
        (OWN, {PUBLISHER_HEADER: "p-funding"}, "p-funding"),
        (OPS, {PUBLISHER_HEADER: "p-funding"}, "p-funding"),
        (OPS, {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OWN}, "p-funding"),
        (OPS, {LAID_BY_HEADER: "p-funding"}, "p-funding"),
        (OPS, {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OPS}, "p-funding"),
        # Nobody knew.
        (OWN, {PUBLISHER_HEADER: ""}, None),
        (OPS, {LAID_BY_HEADER: ""}, None),
        (OPS, {LAID_BY_HEADER: OWN, PUBLISHER_HEADER: ""}, None),
        # Said by others.
        ("writer", {PUBLISHER_HEADER: "p-funding"}, "writer"),
        ("writer", {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OWN}, "writer"),
        (None, {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OWN}, None),
        (OWN, {LAID_BY_HEADER: "p-funding"}, OWN),
        (OPS, {LAID_BY_HEADER: "writer", PUBLISHER_HEADER: "p-funding"}, "writer"),
        (OPS, {LAID_BY_HEADER: "", PUBLISHER_HEADER: "p-funding"}, None),
        (OPS, {LAID_BY_HEADER: ["p-funding"]}, None),
        (OWN, {PUBLISHER_HEADER: {"a": 1}}, None),
        # The operator's own name without the prefix that it does not have.
        ("p-operator", {PUBLISHER_HEADER: "p-funding"}, "p-operator"),
    ],
)
def test_who_published_it(user_id: Any, headers: dict[str, Any], publisher: str | None) -> None:
    assert WHO.publisher_of(user_id, headers) == publisher


@pytest.mark.parametrize(
    ("source", "publisher", "taken"),
    [
        ("funding", "p-funding", True),
        ("proposals", "writer", True),
        ("funding", None, False),
        ("funding", "funding", False),
        ("funding", "writer", False),
        ("proposals", "p-proposals", False),
        ("funding", OPS, False),
    ],
)
def test_an_event_is_taken_of_its_own_publisher_alone(source: str, publisher: str | None, taken: bool) -> None:
    if taken:
        WHO.check(source, publisher)
    else:
        with pytest.raises(WrongPublisher, match=WHO.user_of(source)):
            WHO.check(source, publisher)


def test_nothing_is_checked_where_everybody_shares_a_user() -> None:
    Publishers("shared", is_checked=False).check("funding", None)


class TestReplay:
    """A letter that is sent again says whose it was, however often that happens."""

    def sent(self, user_id: str | None, headers: dict[str, Any], *, times: int = 1) -> str | None:
        """Who published it, as its service reads it after so many replays that the broker laid aside again."""
        for _ in range(times):
            properties = {} if user_id is None else {"user_id": user_id}
            letter = Letter("outcomes", 1, b"{}", "application/json", "utf-8", headers, properties)
            message = letter.original(OPS)
            assert "user_id" not in message.properties
            user_id, headers = OPS, dict(message.headers)
        return WHO.publisher_of(user_id, headers)

    @pytest.mark.parametrize("times", [1, 2, 3])
    @pytest.mark.parametrize(
        ("user_id", "headers", "publisher"),
        [
            (OWN, {PUBLISHER_HEADER: "p-funding"}, "p-funding"),
            ("p-funding", {}, "p-funding"),
            ("writer", {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OWN}, "writer"),
            (None, {PUBLISHER_HEADER: "p-funding", LAID_BY_HEADER: OPS}, None),
            (OWN, {PUBLISHER_HEADER: "", LAID_BY_HEADER: "p-funding"}, None),
        ],
    )
    def test_it_is_whose_it_was(
        self, user_id: str | None, headers: dict[str, Any], publisher: str | None, times: int
    ) -> None:
        assert self.sent(user_id, headers, times=times) == publisher


def test_the_user_of_a_uri() -> None:
    assert broker.user_of("amqp://us%2Fer:secret@host/vhost;amqp://other:secret@host/vhost") == "us/er"
    assert broker.user_of("amqp://host") == "guest"
    assert broker.user_of("embedded://") is None
