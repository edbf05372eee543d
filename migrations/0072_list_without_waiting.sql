-- Bringing the list up to date must never hold up who revokes a key: figures are gathered without a lock, rows are locked
-- for their own update alone, and no key costs more than a bounded look at its ledger.

-- Of the requests of the last 24 hours, how many were refused, per mille. Of a busy key the newest 2 000 admitted ones
-- say how many there were in a day.
CREATE OR REPLACE FUNCTION key_share_refused(account uuid, key uuid) RETURNS smallint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    refusals numeric;
    admitted numeric;
    oldest   timestamptz;
BEGIN
    SELECT sum(refused) INTO refusals FROM refusal_counts
    WHERE key_id = key AND hour > now() - interval '24 hours';
    IF coalesce(refusals, 0) = 0 THEN
        RETURN 0;
    END IF;
    SELECT count(*), min(started_at) INTO admitted, oldest FROM (
        SELECT started_at FROM usage_records
        WHERE account_id = account AND key_id = key AND id >= uuid_floor(now() - interval '24 hours')
        ORDER BY id DESC LIMIT 2000
    ) AS newest;
    IF admitted = 2000 THEN
        admitted := admitted * 86400 / greatest(extract(epoch FROM now() - oldest), 1);
    END IF;
    RETURN trunc(1000 * refusals / (refusals + admitted));
END
$$;

-- As in 0070, but for the lock: rows that are to change are locked last, those a person is changing this moment are left
-- to the next time, and what a person has changed meanwhile is what the state follows from.
CREATE OR REPLACE FUNCTION refresh_facets_of(keys uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    WITH figures AS MATERIALIZED (
        SELECT h.*, k.requests_per_minute IS NOT NULL OR l.limits > 0 AS limited,
               CASE WHEN t.last_used_at > h.last_used_at + interval '1 minute' OR h.last_used_at = '-infinity'
                    THEN coalesce(t.last_used_at, '-infinity') ELSE h.last_used_at END AS used_at,
               coalesce(l.share, 0)::smallint AS share, coalesce(l.ends_at, 'infinity') AS until,
               CASE WHEN r.refusals IS NULL THEN 0::smallint
                    ELSE key_share_refused(h.account_id, h.key_id) END AS rejected,
               coalesce(r.rate_limited_until, '-infinity') AS limited_until, r.refusals
        FROM key_facets h
        JOIN api_keys k ON k.id = h.key_id
        JOIN key_stats t ON t.key_id = h.key_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS limits, max(w.share) AS share,
                   (array_agg(w.ends_at ORDER BY w.share DESC))[1] AS ends_at
            FROM limits l LEFT JOIN LATERAL (
                SELECT least(1000, CASE WHEN f.amount = 0 THEN 1000
                                        ELSE trunc(1000 * f.spent::numeric / f.amount) END) AS share,
                       coalesce(f.ends_at, 'infinity') AS ends_at
                FROM limit_windows f
                WHERE f.limit_id = l.id AND f.starts_at >= l.period_since AND f.starts_at <= now()
                      AND (f.ends_at IS NULL OR f.ends_at > now())
                ORDER BY f.starts_at DESC LIMIT 1
            ) w ON true
            WHERE l.key_id = h.key_id
        ) l
        CROSS JOIN LATERAL (
            SELECT sum(refused) AS refusals,
                   max(hour) FILTER (WHERE code = 'rate_limit_exceeded') + interval '2 hours' AS rate_limited_until
            FROM refusal_counts WHERE key_id = h.key_id AND hour > now() - interval '24 hours'
        ) r
        WHERE h.key_id = ANY (keys)
    ), changed AS MATERIALIZED (
        SELECT f.* FROM figures f
        WHERE (f.used_at, f.limited, f.limited_until,
               key_state(f.live, f.enabled, f.expires_at, f.share, f.until, f.rejected, f.limited_until, now()))
                  IS DISTINCT FROM (f.last_used_at, f.has_limits, f.rate_limited_until, f.state)
              OR abs(f.share - f.share_used) >= 10 OR abs(f.rejected - f.share_refused) >= 10
              OR f.until <> f.share_until OR f.next_change <= now()
    ), free AS MATERIALIZED (
        SELECT h.key_id FROM key_facets h WHERE h.key_id IN (SELECT c.key_id FROM changed c)
        ORDER BY h.key_id FOR UPDATE SKIP LOCKED
    )
    UPDATE key_facets k
    SET last_used_at = c.used_at, share_used = c.share, share_until = c.until, share_refused = c.rejected,
        rate_limited_until = c.limited_until, has_limits = c.limited,
        state = key_state(k.live, k.enabled, k.expires_at, c.share, c.until, c.rejected, c.limited_until, now()),
        next_change = least(
            CASE WHEN k.live AND k.expires_at - interval '24 hours' > now() THEN k.expires_at - interval '24 hours'
                 WHEN k.live AND k.expires_at > now() THEN k.expires_at END,
            CASE WHEN c.share > 0 THEN c.until END,
            CASE WHEN c.limited_until > now() THEN c.limited_until END,
            CASE WHEN c.refusals > 0 THEN now() + interval '10 minutes' END,
            'infinity'
        )
    FROM changed c JOIN free ON free.key_id = c.key_id
    WHERE k.key_id = c.key_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
