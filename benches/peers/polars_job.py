"""The job in Polars: python polars_job.py LOGS OUT THREADS"""

import os
import sys
from datetime import date

os.environ["POLARS_MAX_THREADS"] = sys.argv[3]  # read when the module is loaded

import polars as pl  # noqa: E402

TEXT = pl.String
SCHEMA = {
    "v": pl.Int32,
    "event_id": TEXT, "id": TEXT,
    "time": TEXT, "ts": TEXT,  # some loggers of version 1 write it in quotes
    "service": TEXT, "svc": TEXT,
    "event": TEXT, "action": TEXT,
    "user": pl.Struct({"id": TEXT, "member": pl.Boolean}), "uid": TEXT, "member": pl.Boolean,
    "session": pl.Struct({"short": TEXT, "long": TEXT}), "sid": TEXT, "lsid": TEXT,
    "via": pl.Struct({"channel": TEXT, "campaign": TEXT}), "from": TEXT, "cmp": TEXT,
    "device": pl.Struct({"ip": TEXT, "ua": TEXT, "screen": TEXT, "language": TEXT}),
    "ip": TEXT, "agent": TEXT, "scr": TEXT,
    "page": pl.Struct({"url": TEXT, "title": TEXT, "referrer": TEXT}),
    "url": TEXT, "ttl": TEXT, "ref": TEXT,
    "perf": pl.Struct({"load_ms": pl.Float64}),
    "search": pl.Struct({"query": TEXT, "hits": pl.Int32}), "q": TEXT,
    "target": pl.Struct({"sku": TEXT, "position": pl.Int32}), "item": TEXT,
    "order": pl.Struct({"id": TEXT, "shipping_fee": pl.Float64}), "oid": TEXT,
    "trace": pl.Int64, "trace_id": pl.Int64,
}


def field(*path):
    """A column, or a field of a struct."""
    expression = pl.col(path[0])
    for name in path[1:]:
        expression = expression.struct.field(name)
    return expression


def first(*paths):
    return pl.coalesce(*(field(*path.split(".")) for path in paths))


def flat(logs):
    at = pl.coalesce(
        pl.col("time").str.to_datetime("%+", time_unit="us", time_zone="UTC"),
        (pl.col("ts").cast(pl.Int64) * 1000).cast(pl.Datetime("us", "UTC")),
    )
    # Not replace(): with it the streaming engine takes twice the memory.
    service = first("service", "svc")
    return pl.scan_ndjson(f"{logs}/*/*/*.ndjson", schema=SCHEMA).select(
        event_id=first("event_id", "id"),
        at=at,
        version=pl.col("v").fill_null(1),
        event=first("event", "action"),
        user_id=first("user.id", "uid"),
        member=first("user.member", "member"),
        visit_id=first("session.short", "sid"),
        visitor_id=first("session.long", "lsid"),
        via_channel=first("via.channel", "from"),
        via_campaign=first("via.campaign", "cmp"),
        ip=first("device.ip", "ip"),
        user_agent=first("device.ua", "agent"),
        screen=first("device.screen", "scr"),
        language=first("device.language"),
        url=first("page.url", "url"),
        title=first("page.title", "ttl"),
        referrer=first("page.referrer", "ref"),
        load_ms=first("perf.load_ms"),
        query=first("search.query", "q"),
        hits=first("search.hits"),
        sku=first("target.sku", "item"),
        position=first("target.position"),
        trace_id=first("trace", "trace_id"),
        order_id=first("order.id", "oid"),
        shipping_fee=first("order.shipping_fee").cast(pl.Decimal(12, 2)),
        service=pl.when(service != "").then(service),
    )


def main(logs, out):
    day = pl.col("dt")
    percent = (
        pl.when(day >= date(2019, 10, 1)).then(10)
        .when(day >= date(2014, 4, 1)).then(8)
        .when(day >= date(1997, 4, 1)).then(5)
        .when(day >= date(1989, 4, 1)).then(3)
    )
    # Whole yen, cut off: integers, since a float would not be exact.
    fee_in_sen = (pl.col("shipping_fee") * 100).cast(pl.Int64)
    sen = fee_in_sen * percent
    yen = sen.abs() // 10_000 * sen.sign()
    (
        flat(logs)
        .with_columns(dt=pl.col("at").dt.convert_time_zone("Asia/Tokyo").dt.date())
        .with_columns(shipping_tax=yen.cast(pl.Decimal(12, 2)))
        .sink_parquet(
            pl.PartitionBy(out, key=["dt", "service"], include_key=False),
            compression="zstd",
            compression_level=1,
            maintain_order=False,
            mkdir=True,
            engine="streaming",
        )
    )


main(*sys.argv[1:3])
