-- Makes a service's database and its two roles, or gives the roles new passwords. As a superuser, with psql:
--
--     COMMONWEAL_OWNER_PASSWORD=... COMMONWEAL_APP_PASSWORD=... psql -d postgres -v service=funding -f databases.sql
--
-- funding_owner owns the database and everything in it: commonweal-ops migrate connects as it. funding_app is what the
-- service runs as: it may do nothing until commonweal-ops migrate --grant-to funding_app says what.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?service}
\else
    DO $$ BEGIN RAISE EXCEPTION 'name the service: -v service=proposals, funding or outcomes'; END $$;
\endif

-- A statement with a password in it must not stand in the server's log, whatever is logged otherwise.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET pg_stat_statements.track = 'none';

\set owner_password `printf %s "$COMMONWEAL_OWNER_PASSWORD"`
\set app_password `printf %s "$COMMONWEAL_APP_PASSWORD"`
SELECT :'owner_password' = '' OR :'app_password' = '' AS password_missing,
    :'service' || '_owner' AS owner, :'service' || '_app' AS app \gset
\if :password_missing
    DO $$ BEGIN RAISE EXCEPTION 'set COMMONWEAL_OWNER_PASSWORD and COMMONWEAL_APP_PASSWORD'; END $$;
\endif

SELECT format('CREATE ROLE %I LOGIN', role) FROM unnest(ARRAY[:'owner', :'app']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"owner" PASSWORD :'owner_password';
ALTER ROLE :"app" PASSWORD :'app_password';

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', :'service', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
\connect :"service"
-- Up to PostgreSQL 14 the schema belongs to the server's own superuser, and everybody may create in it.
ALTER SCHEMA public OWNER TO :"owner";
