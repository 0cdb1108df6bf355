-- Every request, with the country and network that it came from and what asked.
--
-- `occurred_at` is an instant in UTC, and so is its day, `dt`, whatever zone the server logs in.
WITH looked_up AS (
    SELECT
        * EXCEPT (dt),
        geoip(remote_ip) AS place,
        parse_user_agent(user_agent) AS agent
    FROM logs
)

SELECT
    occurred_at,
    remote_ip,
    place['country_code'] AS country,
    place['country_name'] AS country_name,
    place['asn'] AS asn,
    place['organization'] AS organization,
    remote_user,
    method,
    path,
    url_path(path) AS page_path,
    protocol,
    status,
    bytes,
    referrer,
    url_host(referrer) AS referrer_host,
    user_agent,
    agent['browser'] AS browser,
    agent['version'] AS browser_version,
    agent['os'] AS os,
    agent['device_kind'] AS device_kind,
    coalesce(agent['bot'], false) AS bot,
    CAST(CAST(occurred_at AS DATE) AS TEXT) AS dt,
    -- Where the row came from: expectations name it; `exclude` keeps it out of the table.
    _source,
    _line
FROM looked_up
