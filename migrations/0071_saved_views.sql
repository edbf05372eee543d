-- Named queries of the list of keys, each member's own.

CREATE TABLE saved_views (
    id         uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    -- As it stands in the address, without the page.
    query      text        NOT NULL CHECK (length(query) <= 2000),
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (account_id, user_id) REFERENCES members ON DELETE CASCADE
);
CREATE UNIQUE INDEX saved_views_name_unique ON saved_views (account_id, user_id, lower(name));

ALTER TABLE saved_views ENABLE ROW LEVEL SECURITY;
ALTER TABLE saved_views FORCE ROW LEVEL SECURITY;
CREATE POLICY one_account ON saved_views TO latchkey_console
    USING (account_id = NULLIF(current_setting('latchkey.account_id', true), '')::uuid)
    WITH CHECK (account_id = NULLIF(current_setting('latchkey.account_id', true), '')::uuid);
CREATE POLICY owner ON saved_views TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON saved_views TO latchkey_console;
