"""A service's own role in its database may do what the service does and nothing else, least of all rewrite history."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import URL, NullPool, Table, create_engine, func, make_url, select, text
from sqlalchemy.exc import DBAPIError

from commonweal import Client
from examples.demo.programme import Programme
from examples.demo.screen import Screen
from examples.demo.stage import Stage as DemoStage
from examples.demo.story import Story
from shared.audit.tables import audit, audit_seals
from shared.clock import RehearsalClock
from shared.messaging.tables import inbox_attempts, outbox
from shared.ops.launch import ServiceFailed, ServiceProcess
from shared.ops.names import SERVICES
from shared.security.principal import APPROVER, ASSESSOR, CDO, PANEL_CHAIR, TREASURER
from shared.storage import migrate
from shared.storage.database import sqlstate_of
from shared.storage.roles import RoleRefused
from tests.support import outcomes
from tests.support.messages import message_of
from tests.support.programme import declined_award, submitted_proposal
from tests.support.roles import Made, PsqlMissing, RoleMaker, making_roles
from tests.support.servers import Servers
from tests.support.stage import Stage, eventually, stage_on_servers

INSUFFICIENT_PRIVILEGE = "42501"
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture(scope="module")
def roles(servers: Servers) -> Iterator[RoleMaker]:
    with making_roles(servers.postgresql) as maker:
        yield maker


@pytest.fixture(scope="module")
def databases(roles: RoleMaker) -> dict[str, Made]:
    """A database of each service, with its roles; migrated by the stage."""
    try:
        return {service: roles.make() for service in SERVICES}
    except PsqlMissing as missing:
        # Only where PostgreSQL runs in a container: its binaries bring psql along.
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> RehearsalClock:
    return RehearsalClock(tmp_path_factory.mktemp("rehearsal") / "clock")


@pytest.fixture(scope="module")
def stage(
    servers: Servers, databases: dict[str, Made], rehearsal: RehearsalClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """All three services, each as its own role; they would not start as one that may do more."""
    urls = iter([databases[service].owner_url for service in SERVICES])

    def prepare(service: str, owner_url: str) -> str:
        ops(f"migrate {service} --grant-to {databases[service].app}", owner_url)
        return databases[service].app_url

    vhost = servers.broker.create_vhost()
    with stage_on_servers(
        vhost, lambda: next(urls), tmp_path_factory.mktemp("stage"), prepare=prepare,
        extra_environment={
            "COMMONWEAL_REQUIRE_LEAST_PRIVILEGE": "yes", "COMMONWEAL_REHEARSAL_CLOCK": str(rehearsal.path)
        },
    ) as running:  # fmt: skip
        yield running
    servers.broker.delete_vhost(vhost)


@pytest.fixture
def made(roles: RoleMaker, databases: dict[str, Made]) -> Made:
    """A database and roles of a test's own, not migrated."""
    return roles.make()


def ops(command: str, database_url: str, **environment: str) -> str:
    """Run ``commonweal-ops``; returns what it printed, the reason alone when it refused."""
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("commonweal-ops")), *command.split(" ")],
        env={**os.environ, "COMMONWEAL_DATABASE_URL": database_url, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == (1 if ran.stderr else 0), ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout or ran.stderr


def refusal(database_url: str, statement: str) -> str | None:
    """The code of the error that a statement ends with; None when it is carried out, and then undone."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        try:
            connection.execute(text(statement))
        except DBAPIError as error:
            return sqlstate_of(error)
        finally:
            connection.rollback()
    return None


def execute(database_url: str | URL, *statements: str) -> None:
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def tables_of(service: str) -> dict[str, Table]:
    return {table.name: table for table in migrate.tables_of(service)}


def append_only(service: str) -> list[str]:
    return [name for name, table in tables_of(service).items() if table.info.get("append_only")]


# --- everything works -------------------------------------------------------------------------------------------------


def test_whatever_a_service_does_it_may_do(stage: Stage, databases: dict[str, Made], rehearsal: RehearsalClock) -> None:
    """The demo's whole story, what it leaves out, an event that fails, the sealer and a round of housekeeping."""
    with Client(stage.amqp_uri, "") as client:
        demo = DemoStage("services with roles of their own", client, stage.signing_key, rehearsal)
        story = Story(demo, Programme(stage.signing_key), Screen(Console(file=StringIO())))
        story.tell(None)
    closed_year(stage, story.pool_id, rehearsal)
    rehearsal.set(datetime.now(UTC))
    declined_award(stage)
    proposal_id = submitted_proposal(stage)
    cdo = stage.caller(CDO).proposals
    [*_, last] = cdo.list_rounds()["items"]
    cdo.change_round(round_id=last["round_id"], expected_version=last["version"], quorum=2, reason="More assessors.")
    stage.caller(ASSESSOR).proposals.declare_conflict(proposal_id=proposal_id, reason="A former employer.")
    stage.caller(PANEL_CHAIR).proposals.request_changes(proposal_id=proposal_id, reason="Cost the second year.")
    stage.publish(message_of(outcomes.project_funded()))
    eventually(lambda: count(stage, "proposals", inbox_attempts))
    for service in SERVICES:
        eventually(lambda service=service: not pending(stage, service))
        eventually(lambda service=service: count(stage, service, audit_seals) == count(stage, service, audit) > 0)
        empty = [name for name, table in tables_of(service).items() if not count(stage, service, table)]
        assert empty in ([], ["inbox_attempts"])
        assert "permission denied" not in stage.processes[service].output()
    for service in SERVICES:
        execute(
            databases[service].owner_url,
            "UPDATE outbox SET recorded_at = 'epoch', published_at = 'epoch' WHERE published_at IS NOT NULL",
            "UPDATE inbox SET processed_at = 'epoch'",
            "UPDATE idempotency_keys SET recorded_at = 'epoch'",
        )
        assert "published events 0" not in ops(f"prune {service} --dry-run", databases[service].app_url)
        assert "published events 0" not in ops(f"prune {service}", databases[service].app_url)
        assert "published events 0" in ops(f"prune {service}", databases[service].app_url)


def closed_year(stage: Stage, pool_id: str, rehearsal: RehearsalClock) -> None:
    rehearsal.set(datetime(2027, 4, 1, 9, tzinfo=UTC))
    asked = stage.caller(TREASURER).funding.close_year(pool_id=pool_id, year="2026-27")
    stage.caller(APPROVER).funding.approve_instruction(instruction_id=asked["instruction_id"])


def count(stage: Stage, service: str, table: Table) -> int:
    with stage.database(service).transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def pending(stage: Stage, service: str) -> int:
    with stage.database(service).transaction() as session:
        return session.scalar(select(func.count()).where(outbox.c.published_at.is_(None))) or 0


# --- and nothing else does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_history_cannot_be_rewritten(stage: Stage, databases: dict[str, Made], service: str) -> None:
    """Refused by permission, before any trigger has its say."""
    made = databases[service]
    assert {"audit", "audit_seals"} <= set(append_only(service))
    for name in append_only(service):
        key = ", ".join(tables_of(service)[name].primary_key.columns.keys())
        column = key.partition(",")[0]
        trigger = f"SELECT tgname FROM pg_trigger WHERE tgrelid = '{name}'::regclass AND NOT tgisinternal LIMIT 1"
        with stage.database(service).transaction() as session:
            trigger = session.scalar(text(trigger))
        assert trigger
        for statement in (
            f"UPDATE {name} SET {column} = {column}",
            f"DELETE FROM {name}",
            f"TRUNCATE {name} CASCADE",
            f"SELECT 1 FROM {name} FOR UPDATE",
            f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1 ON CONFLICT ({key}) DO UPDATE SET {column} = NULL",
            f"ALTER TABLE {name} DISABLE TRIGGER {trigger}",
            f"ALTER TABLE {name} DISABLE TRIGGER ALL",
            f"DROP TRIGGER {trigger} ON {name}",
            f"CREATE RULE r AS ON INSERT TO {name} DO INSTEAD NOTHING",
            f"DROP TABLE {name} CASCADE",
        ):
            assert refusal(made.app_url, statement) == INSUFFICIENT_PRIVILEGE, statement


@pytest.mark.parametrize("service", SERVICES)
def test_the_role_can_neither_build_nor_become_another(
    stage: Stage, databases: dict[str, Made], roles: RoleMaker, service: str
) -> None:
    made = databases[service]
    for statement in (
        f"SET ROLE {made.owner}",
        f"SET SESSION AUTHORIZATION {made.owner}",
        f"GRANT {made.owner} TO {made.app}",
        "SET session_replication_role = replica",
        "CREATE TABLE t ()",
        "CREATE TEMPORARY TABLE t ()",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "DROP FUNCTION audit_is_append_only() CASCADE",
        "ALTER TABLE outbox ADD COLUMN c int",
        "TRUNCATE outbox",
        "CREATE INDEX ON outbox (name)",
        "SELECT setval('audit_position_seq', 1)",
        "UPDATE alembic_version SET version_num = '0001'",
        f"ALTER DATABASE {made.name} OWNER TO {made.app}",
        "COPY audit TO PROGRAM 'true'",
    ):
        assert refusal(made.app_url, statement) == INSUFFICIENT_PRIVILEGE, statement
    assert refusal(made.app_url, "UPDATE outbox SET name = name") is None


def test_a_service_cannot_enter_anothers_database(stage: Stage, databases: dict[str, Made]) -> None:
    for service in SERVICES:
        elsewhere = {other: made for other, made in databases.items() if other != service}
        for made in elsewhere.values():
            url = (
                databases[service]
                .app_url.replace(databases[service].name, made.name)
                .replace(f"//{made.name}_app", f"//{databases[service].app}")
            )
            with pytest.raises(DBAPIError, match="permission denied for database"):
                execute(url, "SELECT 1")


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_granted_follows_from_the_marks_on_the_tables(
    stage: Stage, databases: dict[str, Made], service: str
) -> None:
    """Of every table that stands in the database: one that the code does not declare would be granted nothing."""
    declared = tables_of(service)
    with stage.database(service).transaction() as session:
        granted: dict[str, set[str]] = {}
        for name, privilege, held in session.execute(
            text(
                "SELECT relname, privilege, has_table_privilege(:role, pg_class.oid, privilege)"
                " FROM pg_class, unnest(CAST(:privileges AS text[])) AS privilege"
                " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
            ),
            {"role": databases[service].app, "privileges": list(PRIVILEGES)},
        ):
            granted.setdefault(name, set()).update({privilege} if held else set())
        executable = session.scalars(
            text(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                " AND prorettype <> 'trigger'::regtype AND has_function_privilege(:role, oid, 'EXECUTE')"
            ),
            {"role": databases[service].app},
        ).all()
    assert granted.keys() == {*declared, "alembic_version"}
    assert granted.pop("alembic_version") == {"SELECT"}
    for name, privileges in granted.items():
        marks = declared[name].info
        never = {"UPDATE", "DELETE"} if marks.get("append_only") else {"DELETE"} if marks.get("kept") else set()
        assert privileges == {"SELECT", "INSERT", "UPDATE", "DELETE"} - never, name
    assert executable == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_table_that_a_trigger_guards_is_marked(stage: Stage, service: str) -> None:
    """Bits of a trigger's type: 8 DELETE, 16 UPDATE; without a condition of its own it refuses all of them."""
    with stage.database(service).transaction() as session:
        rows = session.execute(
            text(
                "SELECT tgrelid::regclass::text, bit_or(tgtype & 24) FROM pg_trigger"
                " WHERE NOT tgisinternal AND tgqual IS NULL GROUP BY 1"
            )
        )
        guards = {name: bits for name, bits in rows if bits}
    tables = tables_of(service)
    assert {name for name, bits in guards.items() if bits == 24} == set(append_only(service))
    assert {name for name, bits in guards.items() if bits == 8} == {n for n, t in tables.items() if t.info.get("kept")}


# --- granting ---------------------------------------------------------------------------------------------------------


def test_granting_again_takes_away_what_was_granted_by_hand(made: Made, roles: RoleMaker) -> None:
    command = f"migrate funding --grant-to {made.app}"
    assert ops(command, made.owner_url) == f"funding: migrated, granted to {made.app}\n"
    by_hand = {
        f"GRANT UPDATE ON audit TO {made.app} WITH GRANT OPTION": "UPDATE audit SET kind = kind",
        f"GRANT UPDATE (hash) ON audit_seals TO {made.app}": "UPDATE audit_seals SET hash = hash",
        "GRANT DELETE ON ledger_postings TO PUBLIC": "DELETE FROM ledger_postings",
        f"GRANT TRUNCATE ON inbox TO {made.app}": "TRUNCATE inbox",
        f"GRANT UPDATE ON SEQUENCE audit_position_seq TO {made.app}": "SELECT setval('audit_position_seq', 7)",
        "GRANT CREATE ON SCHEMA public TO PUBLIC": "CREATE TABLE t ()",
        f"GRANT TEMPORARY ON DATABASE {made.name} TO {made.app}": "CREATE TEMPORARY TABLE t ()",
        f"GRANT SELECT ON left_over TO {made.app}": "SELECT 1 FROM left_over",
        f"GRANT INSERT ON alembic_version TO {made.app}": "INSERT INTO alembic_version VALUES ('9999')",
    }
    other = roles.role()
    execute(made.owner_url, "CREATE TABLE left_over ()", *by_hand)
    execute(made.app_url, f"GRANT UPDATE ON audit TO {other}")
    # The guards stand in the way of the first three all the same.
    assert [refusal(made.app_url, statement) for statement in by_hand.values()] == ["23001"] * 3 + [None] * 6
    assert ops(command, made.owner_url) == f"funding: migrated, granted to {made.app}\n"
    for statement in by_hand.values():
        assert refusal(made.app_url, statement) == INSUFFICIENT_PRIVILEGE, statement
    with create_engine(made.owner_url, poolclass=NullPool).connect() as connection:
        assert connection.scalar(text(f"SELECT has_table_privilege('{other}', 'audit', 'UPDATE')")) is False


def test_without_a_role_a_migration_grants_nothing(made: Made) -> None:
    assert ops("migrate outcomes", made.owner_url) == "outcomes: migrated\n"
    assert refusal(made.app_url, "SELECT 1 FROM plans") == INSUFFICIENT_PRIVILEGE
    again = ops("migrate outcomes", made.owner_url, COMMONWEAL_DATABASE_ROLE=made.app.replace("test", "{service}"))
    nobody = f"outcomes{made.app.removeprefix('test')}"
    assert again.startswith(f"Error: the database of outcomes could not be migrated: there is no role '{nobody}'; make")
    assert len(again.splitlines()) == 1
    assert ops("migrate outcomes", made.owner_url, COMMONWEAL_DATABASE_ROLE=made.app).endswith(f"to {made.app}\n")
    assert refusal(made.app_url, "SELECT 1 FROM plans") is None


def test_a_role_may_have_any_name(made: Made, roles: RoleMaker) -> None:
    name = f"{made.name}\"'; 100%s (:x) $$ --"
    roles.role(name=name)
    migrate.upgrade("funding", made.owner_url, grant_to=name)
    with create_engine(made.owner_url, poolclass=NullPool).connect() as connection:
        may = text(
            "SELECT has_table_privilege(:name, 'audit', 'INSERT'), has_table_privilege(:name, 'audit', 'UPDATE')"
        )
        assert tuple(connection.execute(may, {"name": name}).one()) == (True, False)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no role", "there is no role 'nobody_app'; make it first, as docs/runbooks/databases.md says"),
        ("the owner", "it owns what is in this database"),
        ("a superuser", "it is a superuser"),
        ("may make roles", "it may make roles, and so become another"),
        ("member of the owner", "_owner, which owns what is in this database"),
        ("member of a superuser", "_role, which is a superuser"),
        ("owns a table", "it owns what is in this database"),
        ("member of a group that may more", "it has UPDATE on table alembic_version, UPDATE on table audit, "),
    ],
)
def test_a_role_that_could_do_more_all_the_same_is_refused(
    made: Made, roles: RoleMaker, fault: str, reason: str
) -> None:
    """In a sentence, and the database stays as it was."""
    role = made.app
    if fault == "no role":
        role = "nobody_app"
    elif fault == "the owner":
        role = made.owner
    elif fault == "a superuser":
        role = roles.role("SUPERUSER")
    elif fault == "may make roles":
        role = roles.role("CREATEROLE")
    elif fault == "member of the owner":
        roles.execute(f"GRANT {made.owner} TO {made.app}")
    elif fault == "member of a superuser":
        role = roles.role("NOINHERIT IN ROLE " + roles.role("SUPERUSER"))
    elif fault == "owns a table":
        roles.execute("CREATE TABLE theirs ()", f"ALTER TABLE theirs OWNER TO {made.app}", database=made.name)
    elif fault == "member of a group that may more":
        group = roles.role()
        roles.execute(f"GRANT {group} TO {made.app}")
        execute(made.owner_url, f"ALTER DEFAULT PRIVILEGES GRANT UPDATE ON TABLES TO {group}")
    with pytest.raises(RoleRefused) as refused:
        migrate.upgrade("funding", made.owner_url, grant_to=role)
    assert reason in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert refusal(made.owner_url, "SELECT 1 FROM audit") == "42P01"


def test_sqlite_has_no_roles(tmp_path: Path) -> None:
    printed = ops("migrate funding --grant-to funding_app", f"sqlite:///{tmp_path}/funding.db")
    assert "SQLite has no roles that anything could be granted to; leave the role out" in printed
    assert not (tmp_path / "funding.db").exists()


# --- a service's start ------------------------------------------------------------------------------------------------


@contextmanager
def started(stage: Stage, database_url: str, *, require: str) -> Iterator[ServiceProcess]:
    environment = {
        **stage.environment["funding"],
        "COMMONWEAL_DATABASE_URL": database_url,
        "COMMONWEAL_REQUIRE_LEAST_PRIVILEGE": require,
    }
    with ServiceProcess("funding", environment) as service:
        yield service


def warnings(service: ServiceProcess) -> list[str]:
    return [line for line in service.output().splitlines() if "WARNING" in line and "rehearsal" not in line]


def test_a_service_that_could_rewrite_history_says_so_once(stage: Stage, made: Made) -> None:
    migrate.upgrade("funding", made.owner_url, grant_to=made.app)
    with started(stage, made.owner_url, require="no") as service:
        service.wait_until_ready()
        (warning,) = warnings(service)
        assert f"the database's role {made.owner} owns what is in this database: give the service one" in warning
        assert "docs/runbooks/databases.md" in warning


def test_where_the_least_is_required_a_service_refuses_more(stage: Stage, made: Made) -> None:
    migrate.upgrade("funding", made.owner_url, grant_to=made.app)
    execute(made.owner_url, f"GRANT DELETE ON ledger_postings TO {made.app}")
    with started(stage, made.app_url, require="yes") as service:
        with pytest.raises(ServiceFailed):
            service.wait_until_ready()
        assert service.exit_code == 1
        (line,) = [line for line in service.output().splitlines() if "rehearsal" not in line]
    assert "ERROR   funding cannot start: COMMONWEAL_REQUIRE_LEAST_PRIVILEGE is set, and the database's role" in line
    assert f"{made.app} has DELETE on table ledger_postings: give the service one of its own" in line


def test_a_service_that_lacks_a_grant_says_what_to_run(stage: Stage, made: Made) -> None:
    migrate.upgrade("funding", made.owner_url)
    with started(stage, made.app_url, require="yes") as service:
        service.wait_for_line("run: commonweal-ops migrate funding --grant-to ROLE")
        ops(f"migrate funding --grant-to {made.app}", made.owner_url)
        service.wait_until_ready()
    execute(
        made.owner_url,
        f"REVOKE ALL ON receipts FROM {made.app}",
        # A newer version's, which the older one must be able to start beside.
        "CREATE TABLE of_the_next_version ()",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON of_the_next_version TO {made.app}",
    )
    with started(stage, made.app_url, require="yes") as service:
        service.wait_until_ready()
        (warning,) = warnings(service)
        assert "which lacks DELETE on table receipts, INSERT on table receipts, SELECT on table receipts," in warning
        assert f"run: commonweal-ops migrate funding --grant-to {made.app}" in warning


# --- the script -------------------------------------------------------------------------------------------------------


def test_the_script_may_run_again_and_gives_new_passwords(made: Made, roles: RoleMaker) -> None:
    migrate.upgrade("outcomes", made.owner_url, grant_to=made.app)
    passwords = {"COMMONWEAL_OWNER_PASSWORD": "it's \\ new", "COMMONWEAL_APP_PASSWORD": 'a "newer" one'}
    assert roles.run_script(f"--set=service={made.name}", **passwords).returncode == 0
    for url, password in ((made.owner_url, "it's \\ new"), (made.app_url, 'a "newer" one')):
        with pytest.raises(DBAPIError, match="password authentication failed"):
            execute(url, "SELECT 1")
        execute(make_url(url).set(password=password), "SELECT 1 FROM plans")


def test_the_script_keeps_passwords_out_of_the_servers_log(made: Made, roles: RoleMaker) -> None:
    """The server tells its client what it logs."""
    passwords = {"COMMONWEAL_OWNER_PASSWORD": "hunter2-canary", "COMMONWEAL_APP_PASSWORD": "hunter3-canary"}
    logged = "-c client_min_messages=log -c log_statement=all -c log_min_duration_statement=0"
    ran = roles.run_script(f"--set=service={made.name}", PGOPTIONS=logged, **passwords)
    assert ran.returncode == 0
    assert "statement: ALTER SCHEMA public OWNER TO" in ran.stderr
    assert "canary" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        ([], {"COMMONWEAL_OWNER_PASSWORD": "a", "COMMONWEAL_APP_PASSWORD": "b"}, "name the service: -v service="),
        (["--set=service=nothing"], {"COMMONWEAL_OWNER_PASSWORD": "a"}, "set COMMONWEAL_OWNER_PASSWORD and"),
    ],
)
def test_the_script_says_what_is_missing(
    databases: dict[str, Made], roles: RoleMaker, arguments: list[str], environment: dict[str, str], reason: str
) -> None:
    ran = roles.run_script(*arguments, **{"COMMONWEAL_APP_PASSWORD": "", **environment})
    assert ran.returncode != 0
    assert reason in ran.stderr
