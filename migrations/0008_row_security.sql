-- Who may touch what. The console's role sees one account's rows at a time, the account its transaction has named;
-- without one it sees nothing. The gateway's role serves all accounts, and reads and writes only what it needs.

DO $$
DECLARE
    tenant_table text;
    tenant_key   text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'accounts', 'members', 'groups', 'api_keys', 'key_secrets', 'key_stats', 'usage_records', 'audit_events'
    ] LOOP
        tenant_key := CASE tenant_table WHEN 'accounts' THEN 'id' ELSE 'account_id' END;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY one_account ON %I TO latchkey_console
                 USING (%I = NULLIF(current_setting(''latchkey.account_id'', true), '''')::uuid)
                 WITH CHECK (%I = NULLIF(current_setting(''latchkey.account_id'', true), '''')::uuid)',
            tenant_table, tenant_key, tenant_key
        );
        EXECUTE format('CREATE POLICY every_account ON %I TO latchkey_gateway USING (true) WITH CHECK (true)',
                       tenant_table);
        -- The owner is bound too (FORCE), so that losing the ownership of a table never loosens it; what it may do
        -- is said here.
        EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', tenant_table);
    END LOOP;
END
$$;

GRANT SELECT ON accounts, members, groups TO latchkey_console;
GRANT SELECT, INSERT ON api_keys, key_secrets, key_stats, audit_events TO latchkey_console;
GRANT UPDATE (group_id, name, note, environment, status, expires_at, status_at, row_version) ON api_keys
    TO latchkey_console;
GRANT UPDATE (ends_at) ON key_secrets TO latchkey_console;
GRANT SELECT ON usage_records, models, policy_version, gateways TO latchkey_console;
GRANT SELECT, INSERT ON login_codes TO latchkey_console;
GRANT UPDATE (tries, consumed_at, voided_at) ON login_codes TO latchkey_console;
GRANT EXECUTE ON FUNCTION sign_in_user, open_session, find_session, close_session, accounts_of_user, open_account
    TO latchkey_console;

GRANT SELECT (id, billing, suspended_at) ON accounts TO latchkey_gateway;
GRANT SELECT (id, account_id, archived_at) ON groups TO latchkey_gateway;
GRANT SELECT (id, account_id, group_id, environment, status, expires_at, created_by) ON api_keys TO latchkey_gateway;
GRANT SELECT (id, account_id, key_id, public_id, digest, pepper_version, ends_at) ON key_secrets TO latchkey_gateway;
GRANT SELECT, UPDATE ON key_stats TO latchkey_gateway;
GRANT SELECT, INSERT ON usage_records TO latchkey_gateway;
GRANT SELECT ON models, policy_version, policy_changes TO latchkey_gateway;
GRANT SELECT, INSERT, UPDATE ON gateways TO latchkey_gateway;
GRANT EXECUTE ON FUNCTION ensure_usage_partitions, uuid_floor TO latchkey_gateway;
