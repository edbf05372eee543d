-- Many limits in one statement. What a statement on limit_windows costs before it touches a row (its constraints are
-- read and compiled each time) is more than the row does, so the functions below take all limits at once. Each touches
-- rows by their keys, whatever the size of the batch or the age of the statistics: a plan made for a long array would
-- scan and hash tables of which it needs a few rows.
--
-- The order of locks is the same everywhere: windows by (limit_id, starts_at), then leases of windows that are locked.

-- Takes leases of `gateway`, or adds to them. `of_limits` are different limits; of each `needed` is the least that helps
-- and `wished` what would spare further asking, of which it gets what can be spared. One row for each limit that there
-- is, with the figures after that; `granted` is 0 where it does not fit. Who needs nothing of any of them does not wait
-- for a window that somebody is at work on, and gets no row for it.
CREATE FUNCTION take_leases(gateway uuid, of_limits uuid[], needed bigint[], wished bigint[])
RETURNS TABLE (place bigint, granted bigint, held bigint, epoch bigint, starts_at timestamptz, ends_at timestamptz,
               amount bigint, spent bigint, reserved bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '1s'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    moment  timestamptz := clock_timestamp();
    waits   boolean;
    has_new boolean;
    places  bigint[];
    owners  uuid[];
    starts  timestamptz[];
    ends    timestamptz[];
    amounts bigint[];
    spends  bigint[];
    reserves bigint[];
    grants  bigint[];
    helds   bigint[];
    epochs  bigint[];
BEGIN
    SELECT array_agg(w.place), array_agg(l.id), array_agg(l.account_id), array_agg(p.starts_at),
           array_agg(p.ends_at), array_agg(w.needed), array_agg(w.wished),
           bool_or(w.needed > 0), bool_or(w.needed > 0 AND f.limit_id IS NULL)
    INTO places, of_limits, owners, starts, ends, needed, wished, waits, has_new
    FROM unnest(of_limits, needed, wished) WITH ORDINALITY AS w (which, needed, wished, place)
         JOIN limits l ON l.id = w.which
         JOIN accounts a ON a.id = l.account_id
         CROSS JOIN LATERAL limit_window(l.period, l.period_since, a.time_zone, moment) p
         LEFT JOIN limit_windows f ON f.limit_id = l.id AND f.starts_at = p.starts_at;
    -- Before any window is locked: who opens one may have to wait for another who does, in the same order.
    IF has_new THEN
        INSERT INTO limit_windows (limit_id, account_id, starts_at, ends_at, amount)
        SELECT l.id, l.account_id, w.starts_at, w.ends_at, l.amount
        FROM unnest(of_limits, needed, starts, ends) AS w (which, needed, starts_at, ends_at)
             JOIN limits l ON l.id = w.which
        WHERE w.needed > 0
        ORDER BY l.id
        ON CONFLICT DO NOTHING;
    END IF;
    -- From here on these windows are ours until commit.
    IF waits THEN
        SELECT array_agg(f.place), array_agg(f.limit_id), array_agg(f.owner), array_agg(f.starts_at),
               array_agg(f.ends_at), array_agg(f.needed), array_agg(f.wished), array_agg(f.amount),
               array_agg(f.spent), array_agg(f.reserved)
        INTO places, of_limits, owners, starts, ends, needed, wished, amounts, spends, reserves
        FROM (
            SELECT w.place, w.owner, w.needed, w.wished, f.*
            FROM unnest(places, of_limits, owners, starts, needed, wished)
                     AS w (place, which, owner, since, needed, wished)
                 JOIN limit_windows f ON f.limit_id = w.which AND f.starts_at = w.since
            ORDER BY f.limit_id FOR UPDATE OF f
        ) f;
    ELSE
        SELECT array_agg(f.place), array_agg(f.limit_id), array_agg(f.owner), array_agg(f.starts_at),
               array_agg(f.ends_at), array_agg(f.needed), array_agg(f.wished), array_agg(f.amount),
               array_agg(f.spent), array_agg(f.reserved)
        INTO places, of_limits, owners, starts, ends, needed, wished, amounts, spends, reserves
        FROM (
            SELECT w.place, w.owner, w.needed, w.wished, f.*
            FROM unnest(places, of_limits, owners, starts, needed, wished)
                     AS w (place, which, owner, since, needed, wished)
                 JOIN limit_windows f ON f.limit_id = w.which AND f.starts_at = w.since
            ORDER BY f.limit_id FOR UPDATE OF f SKIP LOCKED
        ) f;
    END IF;
    -- Several limits are asked for at once: whoever is late with one of them must leave nothing behind of the others.
    IF clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN
        RAISE lock_not_available USING MESSAGE = 'whoever asked has gone';
    END IF;
    SELECT array_agg(CASE WHEN w.needed > w.rest THEN 0
                          ELSE greatest(w.needed, least(w.wished, w.rest / 8), 0) END)
    INTO grants
    FROM (SELECT needed, wished, amount - spent - reserved
          FROM unnest(needed, wished, amounts, spends, reserves) AS w (needed, wished, amount, spent, reserved)
         ) AS w (needed, wished, rest);
    UPDATE limit_windows f SET reserved = f.reserved + w.granted
    FROM unnest(of_limits, starts, grants) AS w (which, since, granted)
    WHERE f.limit_id = w.which AND f.starts_at = w.since AND w.granted > 0;
    WITH holding AS (
        INSERT INTO leases AS h (limit_id, starts_at, gateway_id, account_id, amount)
        SELECT w.which, w.since, gateway, w.owner, w.granted
        FROM unnest(of_limits, starts, owners, grants) AS w (which, since, owner, granted)
        ON CONFLICT (limit_id, starts_at, gateway_id)
            DO UPDATE SET amount = h.amount + excluded.amount, touched_at = now()
        RETURNING h.limit_id, h.amount, h.epoch
    )
    SELECT array_agg(h.amount ORDER BY h.limit_id), array_agg(h.epoch ORDER BY h.limit_id)
    INTO helds, epochs
    FROM holding h;
    IF waits AND 0 = ANY (grants) THEN
        PERFORM pg_notify('latchkey_recalls', w.which::text)
        FROM unnest(of_limits, needed, grants, reserves, helds) AS w (which, needed, granted, reserved, held)
        WHERE w.granted = 0 AND w.needed > 0 AND w.reserved > w.held;
    END IF;
    RETURN QUERY
    SELECT w.place, w.granted, w.held, w.epoch, w.starts_at, w.ends_at, w.amount, w.spent, w.reserved + w.granted
    FROM unnest(places, grants, helds, epochs, starts, ends, amounts, spends, reserves)
        AS w (place, granted, held, epoch, starts_at, ends_at, amount, spent, reserved);
END
$$;
GRANT EXECUTE ON FUNCTION take_leases TO latchkey_gateway;

-- Of one limit: what gateways of the version before ask.
CREATE OR REPLACE FUNCTION take_lease(gateway uuid, which uuid, needed bigint, wished bigint,
                           OUT granted bigint, OUT held bigint, OUT epoch bigint, OUT starts_at timestamptz,
                           OUT ends_at timestamptz, OUT amount bigint, OUT spent bigint, OUT reserved bigint)
RETURNS SETOF record
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s' AS $$
    SELECT t.granted, t.held, t.epoch, t.starts_at, t.ends_at, t.amount, t.spent, t.reserved
    FROM take_leases(gateway, ARRAY[which], ARRAY[needed], ARRAY[wished]) t;
$$;

-- Books charges of new ledger rows, in the ledger's transaction: out of the lease, and into the window's spent in any
-- case. There is one charge for each limit, window and epoch. Answers with the places of those that their lease covers,
-- which are booked; the others are untouched, and the windows of all of them are locked. Runs with the rights of its
-- caller.
CREATE FUNCTION draw_leases(gateway uuid, of_limits uuid[], of_windows timestamptz[], of_epochs bigint[],
                            amounts bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM unnest(of_limits, of_windows) AS c (which, since)
        JOIN limit_windows w ON w.limit_id = c.which AND w.starts_at = c.since
    ORDER BY w.limit_id, w.starts_at FOR UPDATE OF w;
    -- What leaves the reserve is spent, so their sum and with it the excess stay.
    RETURN QUERY
    WITH drawn AS (
        UPDATE leases l SET amount = l.amount - c.much, touched_at = now()
        FROM unnest(of_limits, of_windows, of_epochs, amounts) WITH ORDINALITY AS c (which, since, lease, much, place)
        WHERE l.limit_id = c.which AND l.starts_at = c.since AND l.gateway_id = gateway
              AND l.epoch = c.lease AND l.amount >= c.much
        RETURNING c.which, c.since, c.much, c.place
    )
    UPDATE limit_windows w SET spent = w.spent + d.much, reserved = w.reserved - d.much
    FROM drawn d
    WHERE w.limit_id = d.which AND w.starts_at = d.since
    RETURNING d.place;
END
$$;
GRANT EXECUTE ON FUNCTION draw_leases TO latchkey_gateway;

-- Gives back at most `amounts` of leases, of one limit's window and epoch each. A row for each of which there was
-- something to take; and one with NULL for each whose window was skipped, since somebody is at work on it and `waits` is
-- not set: nothing has happened to it. No row: there was nothing to take, or it was too late.
CREATE FUNCTION return_leases(gateway uuid, of_limits uuid[], of_windows timestamptz[], amounts bigint[],
                              of_epochs bigint[], waits boolean)
RETURNS TABLE (place bigint, given bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '1s'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    locked bigint[];
BEGIN
    IF waits THEN
        SELECT array_agg(f.place) INTO locked
        FROM (
            SELECT c.place
            FROM unnest(of_limits, of_windows) WITH ORDINALITY AS c (which, since, place)
                 JOIN limit_windows w ON w.limit_id = c.which AND w.starts_at = c.since
            ORDER BY w.limit_id, w.starts_at FOR UPDATE OF w
        ) f;
        -- A gateway that has given up looks at what it holds, and must not be overtaken.
        IF clock_timestamp() > statement_timestamp() + interval '1.5 s' THEN
            RETURN;
        END IF;
    ELSE
        SELECT array_agg(f.place) INTO locked
        FROM (
            SELECT c.place
            FROM unnest(of_limits, of_windows) WITH ORDINALITY AS c (which, since, place)
                 JOIN limit_windows w ON w.limit_id = c.which AND w.starts_at = c.since
            ORDER BY w.limit_id, w.starts_at FOR UPDATE OF w SKIP LOCKED
        ) f;
        IF locked IS NULL OR cardinality(locked) < cardinality(of_limits) THEN
            RETURN QUERY
            SELECT c.place, NULL::bigint
            FROM unnest(of_limits, of_windows) WITH ORDINALITY AS c (which, since, place)
                 JOIN limit_windows w ON w.limit_id = c.which AND w.starts_at = c.since
            WHERE locked IS NULL OR c.place <> ALL (locked);
        END IF;
    END IF;
    RETURN QUERY
    WITH freed AS (
        UPDATE leases l SET amount = l.amount - b.given, touched_at = now()
        FROM (
            SELECT c.place, c.which, c.since, least(l.amount, c.much) AS given
            FROM unnest(locked) AS k (place)
                 CROSS JOIN LATERAL (
                     SELECT k.place, of_limits[k.place], of_windows[k.place], amounts[k.place], of_epochs[k.place]
                 ) AS c (place, which, since, much, lease)
                 JOIN leases l ON l.limit_id = c.which AND l.starts_at = c.since AND l.gateway_id = gateway
            WHERE l.epoch = c.lease AND l.amount > 0 AND c.much > 0
        ) b
        WHERE l.limit_id = b.which AND l.starts_at = b.since AND l.gateway_id = gateway
        RETURNING b.place, b.which, b.since, b.given
    )
    UPDATE limit_windows w SET reserved = w.reserved - f.given
    FROM freed f
    WHERE w.limit_id = f.which AND w.starts_at = f.since
    RETURNING f.place, f.given;
END
$$;
GRANT EXECUTE ON FUNCTION return_leases TO latchkey_gateway;
