-- Several providers: where a model's requests go, in which order, and what they call it there. A model without a row
-- in model_upstreams goes to the provider of the gateway's own settings (UPSTREAM_URL), if it has one.

CREATE TABLE upstreams (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    base_url       text        NOT NULL CHECK (base_url ~ '^https?://[^/@?#\s]+(/[^?#\s]*)?$' AND length(base_url) <= 500),
    -- The variable (or, with _FILE added, the file) in which every gateway finds the provider's key. Only names that
    -- begin so: whoever may edit this row must not be able to send some other secret of the gateway anywhere.
    secret_name    text        NOT NULL CHECK (secret_name ~ '^UPSTREAM_[A-Z0-9_]{1,90}$' AND secret_name !~ '_FILE$'),
    -- Until the head of an answer, and once more for a body that is no stream.
    answer_seconds integer     NOT NULL DEFAULT 300 CHECK (answer_seconds BETWEEN 1 AND 3600),
    enabled        boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE model_upstreams (
    model_id       text     NOT NULL REFERENCES models ON UPDATE CASCADE ON DELETE CASCADE,
    upstream_id    uuid     NOT NULL REFERENCES upstreams ON DELETE RESTRICT,
    upstream_model text     NOT NULL CHECK (length(upstream_model) BETWEEN 1 AND 200),
    -- The lowest is asked first.
    rank           smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (model_id, upstream_id)
);
CREATE INDEX model_upstreams_of_upstream ON model_upstreams (upstream_id);

-- Other names of a model. Rules, prices and the ledger know the model alone.
CREATE TABLE model_aliases (
    alias    text PRIMARY KEY CHECK (length(alias) BETWEEN 1 AND 200),
    model_id text NOT NULL REFERENCES models ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX model_aliases_of_model ON model_aliases (model_id);

CREATE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE ON upstreams
    FOR EACH STATEMENT EXECUTE FUNCTION policy_models_changed();
CREATE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE ON model_upstreams
    FOR EACH STATEMENT EXECUTE FUNCTION policy_models_changed();
CREATE TRIGGER policy_changed AFTER INSERT OR UPDATE OR DELETE ON model_aliases
    FOR EACH STATEMENT EXECUTE FUNCTION policy_models_changed();

GRANT SELECT ON upstreams, model_upstreams, model_aliases TO latchkey_gateway, latchkey_console;
