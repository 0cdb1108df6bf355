"""The job in DataFusion: python datafusion_job.py LOGS OUT THREADS"""

import sys

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

TEXT = pa.string()
SCHEMA = pa.schema({
    "v": pa.int32(),
    "event_id": TEXT, "id": TEXT,
    "time": pa.timestamp("us", "UTC"), "ts": pa.int64(),
    "service": TEXT, "svc": TEXT,
    "event": TEXT, "action": TEXT,
    "user": pa.struct({"id": TEXT, "member": pa.bool_()}), "uid": TEXT, "member": pa.bool_(),
    "session": pa.struct({"short": TEXT, "long": TEXT}), "sid": TEXT, "lsid": TEXT,
    "via": pa.struct({"channel": TEXT, "campaign": TEXT}), "from": TEXT, "cmp": TEXT,
    "device": pa.struct({"ip": TEXT, "ua": TEXT, "screen": TEXT, "language": TEXT}),
    "ip": TEXT, "agent": TEXT, "scr": TEXT,
    "page": pa.struct({"url": TEXT, "title": TEXT, "referrer": TEXT}),
    "url": TEXT, "ttl": TEXT, "ref": TEXT,
    "perf": pa.struct({"load_ms": pa.float64()}),
    "search": pa.struct({"query": TEXT, "hits": pa.int32()}), "q": TEXT,
    "target": pa.struct({"sku": TEXT, "position": pa.int32()}), "item": TEXT,
    "order": pa.struct({"id": TEXT, "shipping_fee": pa.decimal128(12, 2)}), "oid": TEXT,
    "trace": pa.int64(), "trace_id": pa.int64(),
})

JOB = """
COPY (
    WITH flat AS (
        SELECT
            coalesce(event_id, id) AS event_id,
            coalesce("time", arrow_cast(ts * 1000, 'Timestamp(Microsecond, Some("UTC"))')) AS at,
            coalesce(v, 1) AS version,
            coalesce(event, action) AS event,
            coalesce("user"['id'], uid) AS user_id,
            coalesce("user"['member'], member) AS member,
            coalesce(session['short'], sid) AS visit_id,
            coalesce(session['long'], lsid) AS visitor_id,
            coalesce(via['channel'], "from") AS via_channel,
            coalesce(via['campaign'], cmp) AS via_campaign,
            coalesce(device['ip'], ip) AS ip,
            coalesce(device['ua'], agent) AS user_agent,
            coalesce(device['screen'], scr) AS screen,
            device['language'] AS language,
            coalesce(page['url'], url) AS url,
            coalesce(page['title'], ttl) AS title,
            coalesce(page['referrer'], ref) AS referrer,
            perf['load_ms'] AS load_ms,
            coalesce(search['query'], q) AS query,
            search['hits'] AS hits,
            coalesce(target['sku'], item) AS sku,
            target['position'] AS position,
            coalesce(trace, trace_id) AS trace_id,
            coalesce("order"['id'], oid) AS order_id,
            "order"['shipping_fee'] AS shipping_fee,
            -- NULL would become a directory `service=`, which reads as an empty text.
            coalesce(nullif(coalesce(service, svc), ''), '__HIVE_DEFAULT_PARTITION__') AS service
        FROM logs
    ), dated AS (
        SELECT *, CAST(arrow_cast(at, 'Timestamp(Microsecond, Some("Asia/Tokyo"))') AS DATE) AS dt
        FROM flat
    )
    -- Whole yen, cut off: integers, since trunc() of a decimal is a float here.
    SELECT * EXCLUDE (dt, service),
        CAST(CAST(shipping_fee * 100 AS BIGINT) * CASE
            WHEN dt >= DATE '2019-10-01' THEN 10
            WHEN dt >= DATE '2014-04-01' THEN 8
            WHEN dt >= DATE '1997-04-01' THEN 5
            WHEN dt >= DATE '1989-04-01' THEN 3
        END / 10000 AS DECIMAL(12, 2)) AS shipping_tax,
        dt, service
    FROM dated
) TO '{out}/' STORED AS PARQUET PARTITIONED BY (dt, service) OPTIONS ('compression' 'zstd(1)')
"""


def main(logs, out, threads):
    context = SessionContext(SessionConfig().with_target_partitions(int(threads)))
    context.register_json("logs", logs, schema=SCHEMA, file_extension=".ndjson")
    context.sql(JOB.replace("{out}", out)).collect()


main(*sys.argv[1:])
