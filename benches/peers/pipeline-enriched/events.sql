-- One row an event, flat, with the consumption tax on the shipping fee by the rate of its day,
-- the country of its address and the parts of its user agent.
WITH events_with_agent AS (
    SELECT *, parse_user_agent(user_agent) AS agent
    FROM logs
)

SELECT
    event_id,
    at,
    version,
    event,
    user_id,
    member,
    visit_id,
    visitor_id,
    via_channel,
    via_campaign,
    ip,
    user_agent,
    screen,
    language,
    url,
    title,
    referrer,
    load_ms,
    query,
    hits,
    sku,
    position,
    trace_id,
    order_id,
    shipping_fee,
    consumption_tax(shipping_fee, 'standard', at) AS shipping_tax,
    geoip_country(ip) AS country,
    agent['browser'] AS browser,
    agent['version'] AS browser_version,
    agent['os'] AS os,
    agent['device_kind'] AS device_kind,
    coalesce(agent['bot'], false) AS bot,
    service,
    CAST(arrow_cast(at, 'Timestamp(Microsecond, Some("Asia/Tokyo"))') AS DATE) AS dt
FROM events_with_agent
