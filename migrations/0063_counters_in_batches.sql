-- Counts new ledger rows, in their transaction: one entry for each key, whose counters are locked in one order, so that
-- two gateways that settle the same keys cannot lock each other out. Rows are found by their keys whatever the size of
-- the batch. Runs with the rights of its caller.
CREATE FUNCTION count_usage(of_keys uuid[], requests bigint[], inputs bigint[], cached_inputs bigint[],
                            outputs bigint[], costs bigint[], used_at timestamptz[], addresses inet[])
RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM unnest(of_keys) AS c (which) JOIN key_stats s ON s.key_id = c.which
    ORDER BY s.key_id FOR UPDATE OF s;
    UPDATE key_stats s
    SET requests = s.requests + c.requests,
        input_tokens = s.input_tokens + c.input,
        cached_input_tokens = s.cached_input_tokens + c.cached_input,
        output_tokens = s.output_tokens + c.output,
        cost_nano = s.cost_nano + c.cost,
        last_address = CASE WHEN s.last_used_at > c.used_at THEN s.last_address ELSE c.address END,
        last_used_at = greatest(s.last_used_at, c.used_at)
    FROM unnest(of_keys, count_usage.requests, inputs, cached_inputs, outputs, costs, count_usage.used_at, addresses)
        AS c (which, requests, input, cached_input, output, cost, used_at, address)
    WHERE s.key_id = c.which;
END
$$;
GRANT EXECUTE ON FUNCTION count_usage TO latchkey_gateway;
