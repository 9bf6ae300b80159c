-- Run in each database of open-webui by its superuser postgres, on stdin of psql (roles.py; templates/roles.sh.j2).
SELECT rolname = 'open-webui' AS superuser FROM pg_authid WHERE oid = 10 \gset
BEGIN;
-- Where both wait for each other, a session of Open WebUI gives way.
SET LOCAL deadlock_timeout = '1min';
SET LOCAL lock_timeout = '1min';
DO $$
DECLARE
  password text := (SELECT rolpassword FROM pg_authid WHERE rolname = 'open-webui'); -- its hash
  one record;
BEGIN
  -- The superuser that initdb made has the id 10 and stays one (pg_authid.dat), so it gets another name and can't log in.
  IF EXISTS (SELECT FROM pg_authid WHERE rolname = 'open-webui' AND oid = 10) THEN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = 10 AND backend_type = 'client backend';
    ALTER ROLE "open-webui" RENAME TO "open-webui-bootstrap";
    ALTER ROLE "open-webui-bootstrap" NOLOGIN PASSWORD NULL;
    EXECUTE format('CREATE ROLE "open-webui" LOGIN PASSWORD %L', password);
  ELSIF NOT EXISTS (SELECT FROM pg_authid WHERE rolname = 'open-webui') THEN
    CREATE ROLE "open-webui" LOGIN;
    ALTER ROLE postgres PASSWORD NULL; -- the image gave it that of open-webui
  END IF;
  ALTER ROLE "open-webui" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  IF EXISTS (SELECT FROM pg_database JOIN pg_authid ON pg_authid.oid = datdba WHERE datname = current_database() AND rolsuper) THEN
    EXECUTE format('ALTER DATABASE %I OWNER TO "open-webui"', current_database());
  END IF;
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
  END IF;
  -- Not by REASSIGN OWNED, which refuses that superuser. What is part of another object, or of an extension, goes with it.
  FOR one IN
    SELECT type, identity
    FROM (
      SELECT 'pg_class'::regclass AS catalog, oid, relowner AS owner, relkind AS kind FROM pg_class
      WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
      UNION ALL SELECT 'pg_type'::regclass, oid, typowner, NULL FROM pg_type
      UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, NULL FROM pg_proc
      UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, NULL FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%'
    ) AS object, pg_identify_object(catalog, oid, 0)
    WHERE owner = (SELECT oid FROM pg_authid WHERE rolname = 'open-webui-bootstrap') AND oid >= 16384 -- not of initdb
      AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = catalog AND objid = oid AND refobjid <> oid AND (deptype IN ('e', 'i') OR kind = 'S' AND deptype = 'a')
      )
  LOOP
    EXECUTE format('ALTER %s %s OWNER TO "open-webui"', one.type, one.identity);
  END LOOP;
END
$$;
COMMIT;
-- Who logged in before that commit is a superuser still.
DO $$
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'open-webui-bootstrap' AND backend_type = 'client backend';
END
$$;
\if :superuser
  \echo 'Postgres: open-webui is no superuser any more, and owns its database; the superuser is postgres'
\endif
