-- Every action, one row an event: who (by a pseudonym), from which country, with what, on which page.
--
-- Addresses and user ids end here: the table has a country and a pseudonym instead. Items of carts
-- are left out too; those that were bought are in `purchases`.
WITH events_with_agent AS (
    SELECT *, parse_user_agent(user_agent) AS agent
    FROM shop_logs
)

SELECT
    event_id,
    occurred_at,
    event,
    version,
    pseudonymize(user_id, 'visitor') AS user_pseudonym,
    member,
    visit_id,
    visitor_id,
    visit_seq,
    via_channel,
    via_campaign,
    geoip_country(ip) AS country,
    language,
    screen,
    agent['browser'] AS browser,
    agent['version'] AS browser_version,
    agent['os'] AS os,
    agent['device_kind'] AS device_kind,
    coalesce(agent['bot'], false) AS bot,
    url,
    url_path(url) AS page_path,
    url_query(url, 'utm_campaign') AS utm_campaign,
    title,
    url_host(referrer) AS referrer_host,
    load_ms,
    query,
    hits,
    sku,
    position,
    order_id,
    -- NULL where the event has no cart.
    CAST(cardinality(items) AS BIGINT) AS items,
    coupon,
    trace_id,
    service,
    dt,
    -- Where the row came from: expectations name it; `exclude` keeps it out of the table.
    _source,
    _line
FROM events_with_agent
