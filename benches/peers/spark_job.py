"""The job in Spark, on one machine: python spark_job.py LOGS OUT THREADS"""

import sys

from pyspark.sql import SparkSession

SCHEMA = """
    v INT,
    event_id STRING, id STRING,
    time TIMESTAMP, ts STRING, -- some loggers of version 1 write it in quotes
    service STRING, svc STRING,
    event STRING, action STRING,
    user STRUCT<id: STRING, member: BOOLEAN>, uid STRING, member BOOLEAN,
    session STRUCT<short: STRING, long: STRING>, sid STRING, lsid STRING,
    via STRUCT<channel: STRING, campaign: STRING>, `from` STRING, cmp STRING,
    device STRUCT<ip: STRING, ua: STRING, screen: STRING, language: STRING>,
    ip STRING, agent STRING, scr STRING,
    page STRUCT<url: STRING, title: STRING, referrer: STRING>, url STRING, ttl STRING, ref STRING,
    perf STRUCT<load_ms: DOUBLE>,
    search STRUCT<query: STRING, hits: INT>, q STRING,
    target STRUCT<sku: STRING, position: INT>, item STRING,
    `order` STRUCT<id: STRING, shipping_fee: DECIMAL(12,2)>, oid STRING,
    trace BIGINT, trace_id BIGINT
"""

JOB = """
WITH flat AS (
    SELECT
        coalesce(event_id, id) AS event_id,
        coalesce(time, timestamp_millis(CAST(ts AS BIGINT))) AS at,
        coalesce(v, 1) AS version,
        coalesce(event, action) AS event,
        coalesce(user.id, uid) AS user_id,
        coalesce(user.member, member) AS member,
        coalesce(session.short, sid) AS visit_id,
        coalesce(session.long, lsid) AS visitor_id,
        coalesce(via.channel, `from`) AS via_channel,
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
        coalesce(`order`.id, oid) AS order_id,
        `order`.shipping_fee AS shipping_fee,
        nullif(coalesce(service, svc), '') AS service
    FROM logs
), dated AS (
    SELECT *, to_date(from_utc_timestamp(at, 'Asia/Tokyo')) AS dt FROM flat
)
SELECT *,
    CAST(CAST(shipping_fee * 100 AS BIGINT) * CASE
        WHEN dt >= DATE '2019-10-01' THEN 10
        WHEN dt >= DATE '2014-04-01' THEN 8
        WHEN dt >= DATE '1997-04-01' THEN 5
        WHEN dt >= DATE '1989-04-01' THEN 3
    END DIV 10000 AS DECIMAL(12, 2)) AS shipping_tax
FROM dated
"""


def main(logs, out, threads):
    spark = (
        SparkSession.builder.master(f"local[{threads}]")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.hadoop.parquet.compression.codec.zstd.level", "1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.read.schema(SCHEMA).json(f"{logs}/*/*/*.ndjson").createOrReplaceTempView("logs")
    table = spark.sql(JOB).write.mode("overwrite").option("compression", "zstd")
    table.partitionBy("dt", "service").parquet(out)
    java = spark.sparkContext._gateway.proc
    spark.stop()
    # Its CPU time is counted only if it is waited for.
    java.stdin.close()
    java.wait()


main(*sys.argv[1:])
