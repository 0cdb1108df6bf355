"""The job in ClickHouse, as chDB: python chdb_job.py LOGS OUT THREADS"""

import sys

import chdb

TEXT = "Nullable(String)"
COLUMNS = {
    "v": "Nullable(Int32)",
    "event_id": TEXT, "id": TEXT,
    "time": "Nullable(DateTime64(6, 'UTC'))", "ts": "Nullable(Int64)",
    "service": TEXT, "svc": TEXT,
    "event": TEXT, "action": TEXT,
    "user": f"Tuple(id {TEXT}, member Nullable(Bool))", "uid": TEXT, "member": "Nullable(Bool)",
    "session": f"Tuple(short {TEXT}, long {TEXT})", "sid": TEXT, "lsid": TEXT,
    "via": f"Tuple(channel {TEXT}, campaign {TEXT})", "from": TEXT, "cmp": TEXT,
    "device": f"Tuple(ip {TEXT}, ua {TEXT}, screen {TEXT}, language {TEXT})",
    "ip": TEXT, "agent": TEXT, "scr": TEXT,
    "page": f"Tuple(url {TEXT}, title {TEXT}, referrer {TEXT})",
    "url": TEXT, "ttl": TEXT, "ref": TEXT,
    "perf": "Tuple(load_ms Nullable(Float64))",
    "search": f"Tuple(query {TEXT}, hits Nullable(Int32))", "q": TEXT,
    "target": f"Tuple(sku {TEXT}, position Nullable(Int32))", "item": TEXT,
    "order": f"Tuple(id {TEXT}, shipping_fee Nullable(Decimal(12, 2)))", "oid": TEXT,
    "trace": "Nullable(Int64)", "trace_id": "Nullable(Int64)",
}

SETTINGS = {
    "date_time_input_format": "'best_effort'",
    "input_format_json_named_tuples_as_objects": 1,
    "input_format_json_defaults_for_missing_elements_in_named_tuple": 1,
    "input_format_json_ignore_unknown_keys_in_named_tuple": 1,
    "input_format_skip_unknown_fields": 1,
    "output_format_parquet_compression_method": "'zstd'",
    "output_format_compression_level": 1,
    "use_hive_partitioning": 0,
}

# PARTITION BY sees only columns that are written, so dt and service are in the files too.
JOB = """
INSERT INTO FUNCTION file('{out}/{_partition_id}/data.parquet', Parquet)
PARTITION BY concat('dt=', toString(dt), '/service=',
    if(empty(service), '__HIVE_DEFAULT_PARTITION__', encodeURLComponent(service)))
SELECT * EXCEPT (at_), at_ AS at,
    CAST(intDiv(toInt64(shipping_fee * 100) * multiIf(
        dt >= toDate('2019-10-01'), 10,
        dt >= toDate('2014-04-01'), 8,
        dt >= toDate('1997-04-01'), 5,
        dt >= toDate('1989-04-01'), 3,
        NULL), 10000) AS Nullable(Decimal(12, 2))) AS shipping_tax
FROM (
    SELECT
        coalesce(l.event_id, l.id) AS event_id,
        assumeNotNull(coalesce(l.time, fromUnixTimestamp64Milli(l.ts, 'UTC'))) AS at_,
        toDate(at_, 'Asia/Tokyo') AS dt,
        coalesce(l.v, 1) AS version,
        coalesce(l.event, l.action) AS event,
        coalesce(l.user.id, l.uid) AS user_id,
        coalesce(l.user.member, l.member) AS member,
        coalesce(l.session.short, l.sid) AS visit_id,
        coalesce(l.session.long, l.lsid) AS visitor_id,
        coalesce(l.via.channel, l.from) AS via_channel,
        coalesce(l.via.campaign, l.cmp) AS via_campaign,
        coalesce(l.device.ip, l.ip) AS ip,
        coalesce(l.device.ua, l.agent) AS user_agent,
        coalesce(l.device.screen, l.scr) AS screen,
        l.device.language AS language,
        coalesce(l.page.url, l.url) AS url,
        coalesce(l.page.title, l.ttl) AS title,
        coalesce(l.page.referrer, l.ref) AS referrer,
        l.perf.load_ms AS load_ms,
        coalesce(l.search.query, l.q) AS query,
        l.search.hits AS hits,
        coalesce(l.target.sku, l.item) AS sku,
        l.target.position AS position,
        coalesce(l.trace, l.trace_id) AS trace_id,
        coalesce(l.order.id, l.oid) AS order_id,
        l.order.shipping_fee AS shipping_fee,
        coalesce(l.service, l.svc) AS service
    FROM file('{logs}/*/*/*.ndjson', JSONEachRow, '{columns}') AS l
)
SETTINGS {settings}
"""


def main(logs, out, threads):
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    job = JOB.replace("{out}", out).replace("{logs}", logs)
    job = job.replace("{columns}", columns.replace("'", "\\'"))
    chdb.query(job.replace("{settings}", f"{settings}, max_threads = {int(threads)}"))


main(*sys.argv[1:])
