"""What a caller can reach is an ``rpc`` method with its roles and its scope; nothing else answers."""

import inspect
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from marshmallow import Schema
from nameko.rpc import rpc as nameko_rpc
from nameko.timer import timer
from sqlalchemy import select

from services.funding.service import FundingService
from services.outcomes.service import OutcomesService
from services.proposals.service import ProposalsService
from shared.fields import CommandSchema
from shared.messaging.by_the_clock import ByTheClock, Job, jobs_of
from shared.messaging.consumer import EventHandler, subscriptions_of
from shared.messaging.rpc import Rpc, methods_of, rpc
from shared.security.principal import CDO, ROLES
from shared.security.scope import EVERY_ROW, EnforcedScope, Scope

SERVICES = [ProposalsService, FundingService, OutcomesService]


def strangers_in(service_class: type) -> list[str]:
    """Name the entrypoints of a service, inherited ones too, that state no rule: those of kinds that are not ours."""
    entrypoints = [
        (name, type(entrypoint))
        for name, member in inspect.getmembers(service_class)
        for entrypoint in getattr(member, "nameko_entrypoints", ())
    ]
    ruled: dict[type, set[str]] = {Rpc: set(methods_of(service_class)), ByTheClock: set(jobs_of(service_class))}
    return [name for name, kind in entrypoints if kind is not EventHandler and name not in ruled.get(kind, ())]


@pytest.mark.parametrize("service", SERVICES)
def test_every_entrypoint_has_a_rule(service: type) -> None:
    assert strangers_in(service) == []
    assert methods_of(service)
    assert subscriptions_of(service)


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_does_by_itself_is_what_its_readme_says(service: type) -> None:
    """Nobody calls it, so that no reference is made of it: an operator looks there."""
    readme = files(service.__module__.rpartition(".")[0]).joinpath("README.md").read_text()
    _, _, said = readme.partition("## By the clock\n")
    named = re.findall(r"^\| `(\w+)` \|", said.partition("\n## ")[0], re.MULTILINE)
    assert named == list(jobs_of(service))
    assert all(getattr(service, name).__doc__ for name in named)


def test_an_entrypoint_without_one_is_found() -> None:
    class Plain:
        name = "plain"

        @nameko_rpc
        def answer(self) -> str:
            """Answers everybody."""
            return "everything"

        @timer(interval=1)
        def tick(self) -> None:
            """Runs by itself."""

        @ByTheClock.decorator(Job("ripen", lambda now: select()))
        def ripen(self, key: object) -> None:
            """Runs by itself, and beside the rule."""

    class Inheriting(ProposalsService, Plain):
        pass

    assert strangers_in(Plain) == ["answer", "ripen", "tick"]
    assert {"answer", "ripen", "tick"} <= set(strangers_in(Inheriting))


@pytest.mark.parametrize("roles", [(), {"mayor"}, {CDO, "mayor"}, "cdo"])
def test_a_method_names_known_roles(roles: Any) -> None:
    with pytest.raises(ValueError, match="must name the roles"):
        decorate(roles=roles, scope=EVERY_ROW)


def test_a_method_names_its_scope() -> None:
    with pytest.raises(TypeError, match="scope"):
        decorate(roles={CDO})
    for nothing in (None, "", "every row"):
        with pytest.raises(TypeError, match="scope"):
            decorate(roles={CDO}, scope=nothing)
    for words in (("", "Every row."), ("every_row", "")):
        with pytest.raises(ValueError, match="a sentence"):
            Scope(*words)


def decorate(**rules: Any) -> Callable[..., Any]:
    """Make a method with some rules."""

    def answer(self: Any, session: Any, principal: Any, command: Any) -> None:
        """Answers."""

    return rpc(CommandSchema, Schema, **rules)(answer)


@pytest.mark.parametrize("service", SERVICES)
def test_scopes_are_told_apart_by_their_names(service: type) -> None:
    scopes = {method.scope for method in methods_of(service).values()}
    assert len({scope.name for scope in scopes}) == len(scopes)


def test_only_what_belongs_to_no_council_is_open_by_role_alone() -> None:
    open_to_all = {
        name for service in SERVICES for name, method in methods_of(service).items() if method.scope is EVERY_ROW
    }
    rounds = {"open_round", "change_round", "close_round", "get_round", "list_rounds"}
    assert open_to_all == rounds | {
        *("create_pool", "benefits_summary"),
        "check_content",  # which comes with the call
    }


def test_the_rule_of_a_scope_is_what_the_handlers_run() -> None:
    """A rule that moves elsewhere leaves its sentence behind; those without one name here where they are enforced."""
    stated = {method.scope for service in SERVICES for method in methods_of(service).values()}
    unenforced = {scope.name for scope in stated if not isinstance(scope, EnforcedScope)}
    assert unenforced == {"every_row", "answered_proposals", "disinterested_proposals", "led_awards"}
    assert all(method.roles <= ROLES for service in SERVICES for method in methods_of(service).values())
