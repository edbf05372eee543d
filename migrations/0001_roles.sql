-- The programs' roles. They can log in but have no password until the operator sets one (ALTER ROLE … PASSWORD),
-- and own nothing: whoever runs the migrations owns the tables.
-- Roles belong to the whole cluster, so another database's migration may have made them, even this instant.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['latchkey_console', 'latchkey_gateway'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- Functions are for whom they are granted to, never for everybody.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
