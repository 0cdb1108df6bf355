"""Compares the tables of a run with the logs that it read, row by row, without the engine.

    pip install -r tests/interop/requirements.txt
    python tests/interop/compare.py --fixture fixtures/action_log --out OUT_DIR
    python tests/interop/compare.py --access-log access_log.ndjson.gz --out OUT_DIR

OUT_DIR is what ASHIATO_OUT was. Parquet is read twice, by DuckDB and by pyarrow, TSV by the rules of
Hive's LazySimpleSerDe; the logs are read as JSON by fixtures/contract_twin.py. Exits with 1 and what
differs, or with 0 and what was compared.
"""

import argparse
import bz2
import gzip
import hashlib
import hmac
import ipaddress
import json
import os
import sys
import tomllib
from collections import Counter
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import maxminddb
import pyarrow as pa
import pyarrow.dataset as ds

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "fixtures"))

import expected  # noqa: E402
from contract_twin import Contract, objects_below  # noqa: E402

SHOWN_MAX = 10
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class Differences:
    """All that was found to differ, and how much was compared."""

    def __init__(self):
        self.found = 0

    def say(self, what, lines):
        self.found += len(lines)
        print(f"DIFFERENT {what}: {len(lines)}", file=sys.stderr)
        for line in lines[:SHOWN_MAX]:
            print(f"    {line}", file=sys.stderr)
        if len(lines) > SHOWN_MAX:
            print(f"    … and {len(lines) - SHOWN_MAX} more", file=sys.stderr)

    def values(self, what, wanted, found):
        """Compares two values."""
        if wanted == found:
            print(f"same {what}: {found}")
        else:
            self.say(what, [f"expected {wanted}, found {found}"])

    def rows(self, what, wanted, found, key=None):
        """Compares two lists of dicts, in any order; by a key, the columns that differ are told."""
        if key is None:
            self.multisets(what, wanted, found)
            return
        lines = []
        wanted_by_key, found_by_key = by_key(wanted, key), by_key(found, key)
        if len(found_by_key) != len(found):
            lines.append(f"{len(found) - len(found_by_key)} rows have the key of another row")
        for row_key in sorted(wanted_by_key.keys() | found_by_key.keys()):
            expected_row, found_row = wanted_by_key.get(row_key), found_by_key.get(row_key)
            if expected_row is None or found_row is None:
                lines.append(f"{row_key}: {'missing' if found_row is None else 'one too many'}")
                continue
            lines += [
                f"{row_key}: {column}: expected {value!r}, found {found_row.get(column)!r}"
                for column, value in expected_row.items()
                if not same(value, found_row.get(column))
            ]
        self.told(what, lines, len(found))

    def multisets(self, what, wanted, found):
        columns = list(wanted[0]) if wanted else []
        as_texts = lambda rows: Counter(repr([row.get(name) for name in columns]) for row in rows)
        wanted, found_texts = as_texts(wanted), as_texts(found)
        lines = [f"missing: {row}" for row in (wanted - found_texts).elements()]
        lines += [f"one too many: {row}" for row in (found_texts - wanted).elements()]
        self.told(what, lines, len(found))

    def told(self, what, lines, count):
        if lines:
            self.say(what, lines)
        else:
            print(f"same {what}: {count} rows")


def by_key(rows, key):
    return {tuple(str(row[name]) for name in key): row for row in rows}


def same(wanted, found):
    return type(wanted) is type(found) and wanted == found


# Reading tables.


def data_files(root):
    """Files that readers of Hive tables look at."""
    files = [path for path in Path(root).rglob("*") if path.is_file()]
    hidden = lambda path: any(part[0] in "_." for part in path.relative_to(root).parts)
    files = sorted(path for path in files if not hidden(path))
    if not files:
        raise SystemExit(f"no data files below {root}; was the pipeline run with this output?")
    return files


def partition_values(root, file):
    pairs = (part.split("=", 1) for part in file.relative_to(root).parts[:-1])
    return {key: None if value == NULL_PARTITION else unquote(value) for key, value in pairs}


def plain_rows(table):
    """An Arrow table as dicts with plain values."""
    for index, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(
                index, column.name, table.column(index).cast(column.type.value_type)
            )
    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def plain(value):
    if isinstance(value, datetime):
        zone = value.tzinfo or timezone.utc
        return value.replace(tzinfo=zone).astimezone(timezone.utc)
    return value


def read_by_pyarrow(root):
    partitioning = ds.partitioning(flavor="hive")
    return ds.dataset(root, format="parquet", partitioning=partitioning).to_table()


def read_by_duckdb(root):
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    files = [str(path) for path in data_files(root)]
    relation = connection.sql(
        "SELECT * FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false)",
        params=[files],
    )
    return relation.to_arrow_table()


def read_tsv(root, schema, partition_by):
    """Rows of a TSV table; its columns and types are those of its Parquet twin."""
    columns = [column for column in schema if column.name not in partition_by]
    rows = []
    for file in data_files(root):
        partition = partition_values(root, file)
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
        elif file.suffix == ".bz2":
            data = bz2.decompress(data)
        if data and not data.endswith(b"\n"):
            raise SystemExit(f"{file}: the last line has no end")
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            fields = tsv_fields(line)
            if len(fields) != len(columns):
                raise SystemExit(
                    f"{file}:{number}: expected {len(columns)} fields, found {len(fields)}"
                )
            values = [typed(field, column.type) for field, column in zip(fields, columns)]
            rows.append(dict(zip([column.name for column in columns], values)) | partition)
    return rows


def tsv_fields(line):
    """Fields as LazySimpleSerDe cuts them: a backslash takes the next character as it is, but for
    n and r (serialization.escape.crlf); a field of just backslash and N is NULL."""
    fields, raw, text = [], bytearray(), bytearray()
    bytes_left = iter(line + b"\t")
    for byte in bytes_left:
        if byte == 0x09:
            fields.append(None if bytes(raw) == b"\\N" else text.decode("utf-8"))
            raw, text = bytearray(), bytearray()
            continue
        raw.append(byte)
        if byte == 0x5C:
            escaped = next(bytes_left)
            raw.append(escaped)
            byte = {0x6E: 0x0A, 0x72: 0x0D}.get(escaped, escaped)
        text.append(byte)
    return fields


def typed(text, kind):
    if text is None:
        return None
    if pa.types.is_timestamp(kind):
        at = datetime.fromisoformat(text.ljust(26, "0") if "." in text else text)
        return at.replace(tzinfo=timezone.utc)
    if pa.types.is_date(kind):
        return date.fromisoformat(text)
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[text]
    if pa.types.is_integer(kind):
        return int(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    if pa.types.is_floating(kind):
        return float(text)
    return text


# What the tables should hold.


class Lookups:
    """The pipeline's GeoIP databases and key, asked directly."""

    def __init__(self, pipeline):
        folder = REPOSITORY / "sql" / pipeline
        settings = tomllib.loads((folder / "pipeline.toml").read_text(encoding="utf-8"))
        paths = settings["enrichment"]["geoip"]
        paths = [path.replace("${PIPELINE_DIR}", str(folder)) for path in paths]
        self.databases = [maxminddb.open_database(path) for path in paths]
        self.key = os.environ.get("ASHIATO_PSEUDONYM_KEY") or "example-key-change-me"

    def first(self, ip, *names):
        address = public_address(ip)
        if address is None:
            return None
        for database in self.databases:
            if address.version == 6 and database.metadata().ip_version == 4:
                continue
            record = database.get(address) or {}
            found = next((record[name] for name in names if record.get(name)), None)
            if found is not None:
                return found
        return None

    def country(self, ip):
        return self.first(ip, "country_code")

    def pseudonym(self, text):
        if text is None:
            return None
        return hmac.new(self.key.encode(), text.encode(), hashlib.sha256).hexdigest()


def public_address(ip):
    try:
        address = ipaddress.ip_address(ip or "")
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    return address if address.is_global and not address.is_multicast else None


def event_row(row, lookups):
    query = parse_qs(urlsplit(row["url"]).query, keep_blank_values=True)
    coupon = row["coupon"]
    same_names = (
        "event_id occurred_at event version member visit_id visitor_id via_channel via_campaign "
        "language screen url title load_ms query hits sku position order_id trace_id"
    )
    return {name: row[name] for name in same_names.split()} | {
        "user_pseudonym": lookups.pseudonym(row["user_id"]),
        "country": lookups.country(row["ip"]),
        "utm_campaign": query.get("utm_campaign", [None])[0],
        "referrer_host": urlsplit(row["referrer"] or "").hostname,
        "items": None if row["items"] is None else len(row["items"]),
        "coupon": None if coupon is None else json.dumps(coupon, default=str, sort_keys=True),
        "service": row["service"] or None,
        "dt": expected.local_day(row["occurred_at"]),
    }


def purchase_row(purchase, lookups):
    row, item = purchase["row"], purchase["item"]
    same_names = (
        "event_id occurred_at order_id payment points shipping_fee deliver_on "
        "visit_id visitor_id via_channel via_campaign"
    )
    return {name: row[name] for name in same_names.split()} | {
        "item_number": purchase["item_number"],
        "service": row["service"],
        "user_pseudonym": lookups.pseudonym(row["user_id"]),
        "country": lookups.country(row["ip"]),
        "sku": item["sku"],
        "name": item["name"],
        "category": item["category"],
        "price_yen": item["price"],
        "quantity": item["quantity"],
        "amount_yen": item["amount"],
        "tax_rate": purchase["tax_rate"],
        "tax_yen": purchase["tax"],
        "order_tax_yen": purchase["order_tax"],
        "currency": "JPY",
        "dt": purchase["dt"],
    }


def request_row(row, lookups):
    ip = row["remote_ip"]
    same_names = (
        "occurred_at remote_ip remote_user method path protocol status bytes referrer user_agent"
    )
    return {name: row[name] for name in same_names.split()} | {
        "country": lookups.country(ip),
        "asn": lookups.first(ip, "autonomous_system_number"),
        "organization": lookups.first(ip, "autonomous_system_organization"),
        "dt": row["occurred_at"].date().isoformat(),
    }


# Comparing.


def compare_parquet(differences, what, root, wanted, key=None):
    """Both readers must find the wanted rows; gives pyarrow's rows and schema."""
    tables = {"pyarrow": read_by_pyarrow(root), "DuckDB": read_by_duckdb(root)}
    for reader, table in tables.items():
        rows = [normalized(row) for row in plain_rows(table)]
        differences.rows(f"{what} by {reader}", wanted, rows, key)
    return plain_rows(tables["pyarrow"]), tables["pyarrow"].schema


def normalized(row):
    """Coupons are JSON: equal if their values are."""
    if row.get("coupon") is not None:
        coupon = json.loads(row["coupon"], parse_float=Decimal, parse_int=Decimal)
        row = row | {"coupon": json.dumps(coupon, default=str, sort_keys=True)}
    return row


def compare_tsv(differences, what, root, rows, schema, partition_by):
    tsv = read_tsv(root, schema, partition_by)
    names = schema.names
    in_order = lambda rows: [{name: row[name] for name in names} for row in rows]
    differences.rows(f"{what} as TSV and as Parquet", in_order(rows), in_order(tsv))


def compare_action_log(differences, fixture, out):
    contract = Contract(REPOSITORY / "sql" / "action_log" / "contract.toml")
    objects = [contract.read_object(path, name) for name, path in objects_below(fixture)]
    logs = [row for o in objects for row in o.rows]
    lookups = Lookups("action_log")
    out = out / "action_log"

    wanted = [event_row(row, lookups) for row in logs]
    rows, _ = compare_parquet(differences, "events", out / "events", wanted, ["event_id"])
    for columns in (["dt", "service"], ["country"]):
        counted = lambda rows: sorted_counts(tuple(row[name] for name in columns) for row in rows)
        differences.values(f"events by {' and '.join(columns)}", counted(wanted), counted(rows))

    purchases = list(expected.purchases_of(logs))
    sold = [purchase for purchase in purchases if expected.is_sold(purchase["item"])]
    wanted = [purchase_row(purchase, lookups) for purchase in sold]
    root = out / "purchases"
    key = ["event_id", "item_number"]
    rows, schema = compare_parquet(differences, "purchases", root / "parquet", wanted, key)
    for column in ("amount_yen", "tax_yen"):
        total = lambda rows: sum(row[column] or 0 for row in rows)
        differences.values(f"sum of purchases' {column}", total(wanted), total(rows))
    compare_tsv(differences, "purchases", root / "tsv", rows, schema, ["dt"])

    wanted = [row | {"service": row["service"]} for row in expected.daily_sales_of(purchases)]
    compare_parquet(differences, "daily_sales", out / "daily_sales", wanted)
    compare_daily_sales_with_purchases(differences, out)


def compare_daily_sales_with_purchases(differences, out):
    """The aggregate as written is that of the purchases as written."""
    connection = duckdb.connect(config={"threads": 1})
    read = "read_parquet('{}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    sums = connection.sql(
        f"""
        SELECT dt, service, category, count(DISTINCT event_id) AS orders,
            sum(quantity)::BIGINT AS quantity, sum(amount_yen)::BIGINT AS amount_yen,
            coalesce(sum(tax_yen), 0)::BIGINT AS tax_yen
        FROM {read.format(quoted(out / "purchases" / "parquet"))}
        GROUP BY ALL
        """
    )
    daily_sales = connection.sql(f"SELECT * FROM {read.format(quoted(out / 'daily_sales'))}")
    wanted, found = plain_rows(sums.to_arrow_table()), plain_rows(daily_sales.to_arrow_table())
    differences.rows("daily_sales and sums of purchases", wanted, found)


def quoted(path):
    return str(path).replace("'", "''")


def compare_access_log(differences, sources, out):
    contract = Contract(REPOSITORY / "sql" / "access_log" / "contract.toml")
    named = [pair for source in sources for pair in objects_below(source)]
    logs = [row for name, path in named for row in contract.read_object(path, name).rows]
    lookups = Lookups("access_log")
    out = out / "access_log"
    wanted = [request_row(row, lookups) for row in logs if 100 <= row["status"] <= 599]
    root = out / "requests"
    rows, schema = compare_parquet(differences, "requests", root / "parquet", wanted)
    compare_tsv(differences, "requests", root / "tsv", rows, schema, ["dt"])
    compare_parquet(
        differences, "traffic_by_country", out / "traffic_by_country", traffic_of(wanted, rows)
    )
    for what, name in (("countries", "country"), ("networks", "organization")):
        top = Counter(row[name] for row in rows).most_common(10)
        print(f"most requests by {what}: {dict(top)}")
    bots = Counter(row["browser"] for row in rows if row["bot"])
    print(f"most requests by bots: {dict(bots.most_common(10))}")
    sums = lambda rows: sum(row["bytes"] or 0 for row in rows)
    differences.values("sum of requests' bytes", sums(wanted), sums(rows))


def traffic_of(wanted, rows):
    """Sums by day and country; which requests are bots' is taken from the table."""
    key = lambda row: (row["dt"], row["country"])
    bots = Counter(key(row) for row in rows if row["bot"])
    groups = {}
    for row in wanted:
        groups.setdefault(key(row), []).append(row)
    return [
        {
            "dt": dt,
            "country": country,
            "requests": len(group),
            "addresses": len({row["remote_ip"] for row in group}),
            "bytes": sum(row["bytes"] or 0 for row in group),
            "bot_requests": bots[dt, country],
            "failed_requests": sum(row["status"] >= 500 for row in group),
        }
        for (dt, country), group in groups.items()
    ]


def sorted_counts(keys):
    counts = Counter(keys)
    return {" ".join(map(str, key)): counts[key] for key in sorted(counts, key=str)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fixture", type=Path, help="the logs that sql/action_log read")
    parser.add_argument(
        "--access-log", type=Path, nargs="+", default=[], help="the logs that sql/access_log read"
    )
    parser.add_argument("--out", type=Path, required=True, help="what ASHIATO_OUT was")
    arguments = parser.parse_args()
    if arguments.fixture is None and not arguments.access_log:
        parser.error("expected --fixture, --access-log or both")
    differences = Differences()
    if arguments.fixture is not None:
        compare_action_log(differences, arguments.fixture, arguments.out)
    if arguments.access_log:
        compare_access_log(differences, arguments.access_log, arguments.out)
    if differences.found:
        print(f"{differences.found} differences", file=sys.stderr)
        sys.exit(1)
    print("the tables hold what the logs say")


if __name__ == "__main__":
    main()
