"""Proves that tables hold the same rows, whatever their order, column by column.

    python equal.py ASHIATO_TABLE OTHER_TABLE…

Each table is a directory of dt=…/service=…/*.parquet. A column's type may differ in how it is
written (a date as text in the directory's name), so each is cast to one type first; no value is
rounded, trimmed or replaced. Then `EXCEPT ALL` runs both ways over whole rows. Exits with 1 and
what differs, column by column, or with 0.
"""

import sys

import duckdb

TYPES = {
    "event_id": "VARCHAR", "at": "TIMESTAMPTZ", "version": "INTEGER", "event": "VARCHAR",
    "user_id": "VARCHAR", "member": "BOOLEAN", "visit_id": "VARCHAR", "visitor_id": "VARCHAR",
    "via_channel": "VARCHAR", "via_campaign": "VARCHAR", "ip": "VARCHAR", "user_agent": "VARCHAR",
    "screen": "VARCHAR", "language": "VARCHAR", "url": "VARCHAR", "title": "VARCHAR",
    "referrer": "VARCHAR", "load_ms": "DOUBLE", "query": "VARCHAR", "hits": "INTEGER",
    "sku": "VARCHAR", "position": "INTEGER", "trace_id": "BIGINT", "order_id": "VARCHAR",
    "shipping_fee": "DECIMAL(12,2)", "shipping_tax": "DECIMAL(12,2)",
    "dt": "DATE", "service": "VARCHAR",
}  # fmt: skip
SHOWN_MAX = 5


def rows_of(table):
    """SQL for the table's rows, each column as the type in TYPES."""
    columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in TYPES.items())
    return (
        f"(SELECT {columns} FROM read_parquet('{table}/**/*.parquet', hive_partitioning = true,"
        " hive_types = {'dt': DATE, 'service': VARCHAR}))"
    )


def missing(connection, left, right, columns):
    """How many rows of left are not in right, as multisets, and the first few."""
    chosen = ", ".join(f'"{name}"' for name in columns)
    query = f"SELECT {chosen} FROM {left} EXCEPT ALL SELECT {chosen} FROM {right}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE missing AS {query}")
    count = connection.execute("SELECT count(*) FROM missing").fetchone()[0]
    shown = f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM missing LIMIT {SHOWN_MAX}"
    return count, connection.execute(shown).fetchall()


def rows_in(connection, rows):
    return connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]


def differences(wanted, found):
    """The rows in wanted, and lines that say what differs; none if the tables are equal."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    wanted, found = rows_of(wanted), rows_of(found)
    lacking, _ = missing(connection, wanted, found, TYPES)
    surplus, _ = missing(connection, found, wanted, TYPES)
    lines = [f"whole rows: {lacking} lack, {surplus} are too many"] if lacking or surplus else []
    if not lines:
        return rows_in(connection, wanted), []
    for name in TYPES:
        for what, left, right in (("lack", wanted, found), ("are too many", found, wanted)):
            count, shown = missing(connection, left, right, [name])
            if count:
                lines.append(f"{name}: {count} {what}, such as {[row[0] for row in shown]}")
    return rows_in(connection, wanted), lines


def main(wanted, others):
    failed = False
    for other in others:
        rows, lines = differences(wanted, other)
        verdict = "DIFFERENT" if lines else f"equal, {rows} rows, {len(TYPES)} columns"
        print(f"{other}: {verdict}")
        for line in lines:
            print(f"    {line}")
        failed |= bool(lines)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
