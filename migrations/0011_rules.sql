-- Rules of keys and groups, and what the gateway must know of models to bound a request. NULL in a list of rules is
-- "any", later ones included; an empty list is "none".

CREATE FUNCTION is_time_zone(name text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM now() AT TIME ZONE name;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END
$$;

ALTER TABLE accounts
    -- Where the account's days and months begin.
    ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC' CHECK (is_time_zone(time_zone)),
    DROP CONSTRAINT accounts_billing_check,
    ADD CONSTRAINT accounts_billing_check CHECK (billing IN ('none', 'invoiced', 'prepaid'));

ALTER TABLE api_keys
    ADD COLUMN addresses           cidr[] CHECK (cardinality(addresses) <= 100),
    ADD COLUMN permissions         text[] CHECK (cardinality(permissions) <= 200),
    ADD COLUMN models              text[] CHECK (cardinality(models) <= 500),
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 1000000),
    -- What to do with a request whose worst case does not fit a limit: lower its output cap, or refuse it.
    ADD COLUMN fit                 text   NOT NULL DEFAULT 'clamp' CHECK (fit IN ('clamp', 'strict'));

ALTER TABLE groups
    ADD COLUMN permissions text[] CHECK (cardinality(permissions) <= 200),
    ADD COLUMN models      text[] CHECK (cardinality(models) <= 500);

ALTER TABLE models
    -- A model without a price is refused to whoever has a cost limit; a price of zero always passes.
    ALTER COLUMN input_price DROP NOT NULL,
    ALTER COLUMN cached_input_price DROP NOT NULL,
    ALTER COLUMN output_price DROP NOT NULL,
    ADD CONSTRAINT models_priced_or_not CHECK (num_nulls(input_price, cached_input_price, output_price) IN (0, 3)),
    -- Tokens it reads at most, prompt and answer together; NULL is unknown.
    ADD COLUMN context_window integer CHECK (context_window > 0),
    -- Tokens it writes at most: the output cap of a request that names none.
    ADD COLUMN max_output     integer NOT NULL DEFAULT 16384 CHECK (max_output > 0);

GRANT UPDATE (addresses, permissions, models, requests_per_minute, fit) ON api_keys TO latchkey_console;
GRANT SELECT (addresses, permissions, models, requests_per_minute, fit) ON api_keys TO latchkey_gateway;
GRANT SELECT (permissions, models) ON groups TO latchkey_gateway;
GRANT EXECUTE ON FUNCTION is_time_zone TO latchkey_console;
