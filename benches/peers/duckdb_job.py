"""The job in DuckDB: python duckdb_job.py LOGS OUT THREADS"""

import sys

import duckdb

COLUMNS = {
    "v": "INTEGER",
    "event_id": "VARCHAR", "id": "VARCHAR",
    "time": "TIMESTAMPTZ", "ts": "BIGINT",
    "service": "VARCHAR", "svc": "VARCHAR",
    "event": "VARCHAR", "action": "VARCHAR",
    "user": "STRUCT(id VARCHAR, member BOOLEAN)", "uid": "VARCHAR", "member": "BOOLEAN",
    "session": "STRUCT(short VARCHAR, long VARCHAR)", "sid": "VARCHAR", "lsid": "VARCHAR",
    "via": "STRUCT(channel VARCHAR, campaign VARCHAR)", "from": "VARCHAR", "cmp": "VARCHAR",
    "device": "STRUCT(ip VARCHAR, ua VARCHAR, screen VARCHAR, language VARCHAR)",
    "ip": "VARCHAR", "agent": "VARCHAR", "scr": "VARCHAR",
    "page": "STRUCT(url VARCHAR, title VARCHAR, referrer VARCHAR)",
    "url": "VARCHAR", "ttl": "VARCHAR", "ref": "VARCHAR",
    "perf": "STRUCT(load_ms DOUBLE)",
    "search": "STRUCT(query VARCHAR, hits INTEGER)", "q": "VARCHAR",
    "target": 'STRUCT(sku VARCHAR, "position" INTEGER)', "item": "VARCHAR",
    "order": "STRUCT(id VARCHAR, shipping_fee DECIMAL(12,2))", "oid": "VARCHAR",
    "trace": "BIGINT", "trace_id": "BIGINT",
}

JOB = """
COPY (
    WITH flat AS (
        SELECT
            coalesce(event_id, id) AS event_id,
            coalesce("time", make_timestamptz(ts * 1000)) AS at_,
            CAST((coalesce("time", make_timestamptz(ts * 1000)) AT TIME ZONE 'Asia/Tokyo')
                AS DATE) AS dt,
            coalesce(v, 1) AS version,
            coalesce(event, action) AS event,
            coalesce("user".id, uid) AS user_id,
            coalesce("user".member, member) AS member,
            coalesce("session".short, sid) AS visit_id,
            coalesce("session".long, lsid) AS visitor_id,
            coalesce(via.channel, "from") AS via_channel,
            coalesce(via.campaign, cmp) AS via_campaign,
            coalesce(device.ip, ip) AS ip,
            coalesce(device.ua, agent) AS user_agent,
            coalesce(device.screen, scr) AS screen,
            device.language AS language,
            coalesce(page.url, url) AS url,
            coalesce(page.title, ttl) AS title,
            coalesce(page.referrer, ref) AS referrer,
            perf.load_ms AS load_ms,
            coalesce(search.query, q) AS query,
            search.hits AS hits,
            coalesce(target.sku, item) AS sku,
            target.position AS position,
            coalesce(trace, trace_id) AS trace_id,
            coalesce("order".id, oid) AS order_id,
            "order".shipping_fee AS shipping_fee,
            nullif(coalesce(service, svc), '') AS service
        FROM read_json($logs, format = 'newline_delimited', columns = $columns,
            hive_partitioning = false)
    )
    SELECT * EXCLUDE (at_, dt, service), at_ AS at,
        CAST(trunc(shipping_fee * CASE
            WHEN dt >= DATE '2019-10-01' THEN 0.10
            WHEN dt >= DATE '2014-04-01' THEN 0.08
            WHEN dt >= DATE '1997-04-01' THEN 0.05
            WHEN dt >= DATE '1989-04-01' THEN 0.03
        END) AS DECIMAL(12, 2)) AS shipping_tax,
        dt, service
    FROM flat
) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARTITION_BY (dt, service))
"""


def main(logs, out, threads):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {int(threads)}")
    connection.execute("SET preserve_insertion_order = false")
    columns = ", ".join(f"\"{name}\": '{kind}'" for name, kind in COLUMNS.items())
    job = JOB.replace("$logs", f"'{logs}/*/*/*.ndjson'").replace("$columns", f"{{{columns}}}")
    connection.execute(job.replace("{out}", out))


main(*sys.argv[1:])
