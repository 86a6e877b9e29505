"""What a service's own role may do in its database: the least that works, told by the service's tables.

``commonweal-ops migrate --grant-to`` grants it, as the role that owns the tables; at its start a service looks whether
that is what it has. A table says by its ``info`` what is never done to its rows, such as ``info=APPEND_ONLY``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, text

#: Rows are added, and neither changed nor deleted.
APPEND_ONLY = {"append_only": True}
#: Rows are added and changed, and not deleted.
KEPT = {"kept": True}

#: Where alembic notes the last migration: a service reads there whether it can start.
VERSION_TABLE = "alembic_version"

RUNBOOK = "docs/runbooks/databases.md"

_LISTED = 4

# What an extension brought is its own business.
_RELATIONS = text(
    """
    SELECT oid, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, relname AS name,
        pg_has_role(current_user, relowner, 'USAGE') AS is_own
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
    """
)

# What no grant takes away: of the role itself, or of one that it could become by SET ROLE. The worst comes first.
_STANDING = text(
    """
    WITH becomes AS (SELECT * FROM pg_roles WHERE pg_has_role(:role, oid, 'MEMBER')),
    standing (place, rolname, what) AS (
        SELECT 1, rolname, 'is a superuser' FROM becomes WHERE rolsuper
        UNION ALL
        SELECT 2, rolname, 'owns what is in this database' FROM becomes WHERE EXISTS (
            SELECT FROM pg_shdepend JOIN pg_database ON datname = current_database()
            WHERE refclassid = 'pg_authid'::regclass AND refobjid = becomes.oid AND deptype = 'o'
            AND (
                dbid = pg_database.oid
                AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
                OR classid = 'pg_database'::regclass AND objid = pg_database.oid
            )
        )
        UNION ALL
        SELECT 3, rolname, 'may make roles, and so become another' FROM becomes WHERE rolcreaterole
    )
    SELECT rolname, what FROM standing ORDER BY rolname <> :role, place LIMIT 1
    """
)

# A privilege on a single column counts as one on the table.
_HELD = text(
    """
    WITH becomes AS (SELECT oid FROM pg_roles WHERE pg_has_role(:role, oid, 'MEMBER'))
    SELECT privilege, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname::text
    FROM becomes, unnest(CAST(:relations AS oid[])) AS relation JOIN pg_class ON pg_class.oid = relation,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'USAGE']) AS privilege
    WHERE CASE
        WHEN relkind = 'S' THEN
            privilege IN ('SELECT', 'UPDATE', 'USAGE') AND has_sequence_privilege(becomes.oid, relation, privilege)
        WHEN privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN
            has_any_column_privilege(becomes.oid, relation, privilege)
        WHEN privilege <> 'USAGE' THEN has_table_privilege(becomes.oid, relation, privilege)
    END
    UNION
    SELECT privilege, 'SCHEMA', current_schema()::text FROM becomes, unnest(ARRAY['CREATE', 'USAGE']) AS privilege
    WHERE has_schema_privilege(becomes.oid, current_schema(), privilege)
    UNION
    SELECT privilege, 'DATABASE', current_database()::text
    FROM becomes, unnest(ARRAY['CREATE', 'CONNECT', 'TEMPORARY']) AS privilege
    WHERE has_database_privilege(becomes.oid, current_database(), privilege)
    """
)

_PLACE = text("SELECT current_schema(), current_database()")


class RoleRefused(ValueError):
    """A role cannot be a service's own; the message says why and what to do."""


class Right(NamedTuple):
    """A privilege on an object, in the words of GRANT; ``kind`` is TABLE, SEQUENCE, SCHEMA or DATABASE."""

    privilege: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.privilege} on {self.kind.lower()} {self.name}"


@dataclass(frozen=True)
class Findings:
    """How what a role may do differs from what a service needs.

    :param role: its name.
    :param excess: what it may do beyond that, as the rest of a sentence that begins with the role; empty if nothing.
    :param lacking: what it needs and may not do, as a list to read; empty if nothing.
    """

    role: str
    excess: str
    lacking: str


def privileges_of(table: Table) -> tuple[str, ...]:
    """Return what a service may do to one of its tables."""
    if table.info.get("append_only"):
        return ("SELECT", "INSERT")
    if table.info.get("kept"):
        return ("SELECT", "INSERT", "UPDATE")
    return ("SELECT", "INSERT", "UPDATE", "DELETE")


def grant(connection: Connection, role: str, tables: Sequence[Table]) -> None:
    """Let a role do what a service needs, and take away what it, or everybody, was granted beyond that.

    A trigger's function needs no right to be executed, so none is granted.

    :param connection: as the role that owns the tables, in a transaction that the caller ends.
    :param role: the service's own role.
    :param tables: every table of the service.
    :raises RoleRefused: when there is no such role, or it can do more, or less, all the same.
    """
    if not connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": role}):
        raise RoleRefused(f"there is no role {role!r}; make it first, as {RUNBOOK} says, or name another one")
    schema, database = connection.execute(_PLACE).one()
    grantee = _quoted(role)

    def execute(statement: str) -> None:
        # A percent sign in a name must not be taken for a parameter.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def on(kind: str, name: str) -> str:
        return f"ON {kind} {_quoted(name) if kind in ('SCHEMA', 'DATABASE') else f'{_quoted(schema)}.{_quoted(name)}'}"

    # CASCADE: what the role has passed on goes with it.
    execute(f"REVOKE ALL {on('DATABASE', database)} FROM PUBLIC, {grantee} CASCADE")
    execute(f"REVOKE CREATE {on('SCHEMA', schema)} FROM PUBLIC CASCADE")
    execute(f"REVOKE ALL {on('SCHEMA', schema)} FROM {grantee} CASCADE")
    relations = connection.execute(_RELATIONS).all()
    for relation in relations:
        if relation.is_own:
            execute(f"REVOKE ALL {on(relation.kind, relation.name)} FROM PUBLIC, {grantee} CASCADE")
    for right in sorted(_needed(connection, relations, tables)):
        execute(f"GRANT {right.privilege} {on(right.kind, right.name)} TO {grantee}")
    found = look(connection, tables, role)
    if found.excess:
        raise RoleRefused(f"the role {role!r} cannot be a service's own: it {found.excess}; {RUNBOOK} says what to do")
    if found.lacking:
        raise RoleRefused(f"{found.lacking} could not be granted; migrate as the role that owns the tables ({RUNBOOK})")


def look(connection: Connection, tables: Sequence[Table], role: str | None = None) -> Findings:
    """Compare what a role may do with what a service needs; asks the catalogues, which any role may read.

    It may do what it, everybody and any role that it is a member of may do.

    :param tables: those that the code knows; a newer version beside it may have more.
    :param role: whose rights; those of whoever is connected unless it is given.
    """
    if role is None:
        role = str(connection.scalar(text("SELECT session_user")))
    standing = connection.execute(_STANDING, {"role": role}).first()
    if standing is not None:
        who, what = standing
        return Findings(role, what if who == role else f"is a member of {who}, which {what}", "")
    relations = connection.execute(_RELATIONS).all()
    known = {VERSION_TABLE, *(table.name for table in tables)}
    oids = [relation.oid for relation in relations if relation.kind == "SEQUENCE" or relation.name in known]
    held = {Right(*row) for row in connection.execute(_HELD, {"role": role, "relations": oids})}
    needed = _needed(connection, relations, tables)
    excess = _listed(held - needed)
    return Findings(role, excess and f"has {excess}", _listed(needed - held))


def _needed(connection: Connection, relations: Iterable[Row[Any]], tables: Iterable[Table]) -> set[Right]:
    schema, database = connection.execute(_PLACE).one()
    privileges = {table.name: privileges_of(table) for table in tables} | {VERSION_TABLE: ("SELECT",)}
    needed = {Right("CONNECT", "DATABASE", database), Right("USAGE", "SCHEMA", schema)}
    for relation in relations:
        granted = ("USAGE",) if relation.kind == "SEQUENCE" else privileges.get(relation.name, ())
        needed |= {Right(privilege, relation.kind, relation.name) for privilege in granted}
    return needed


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(rights: Iterable[Right]) -> str:
    names = [str(right) for right in sorted(rights)]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join([*names[:_LISTED], *more])
