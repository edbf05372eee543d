-- What the programs may know of the migrations: the last one applied. They wait for it at start.
CREATE FUNCTION latchkey_schema_version() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success;
$$;
GRANT EXECUTE ON FUNCTION latchkey_schema_version TO latchkey_console, latchkey_gateway;
