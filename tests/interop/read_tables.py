#!/usr/bin/env python3
"""Reads published tables with other programs and compares every value.

usage: read_tables.py MANIFEST.json... [--spark]

For each table of each manifest: bytes, SHA-256 and rows of each file; then all rows as pyarrow and
DuckDB read them (Parquet) or as a Hive-rule parser written here reads them (TSV). With --spark, the
rows as Spark reads them through the create_table.sql beside the manifest, which takes Hive's own
LazySimpleSerDe for TSV and Hive's own ParquetHiveSerDe for Parquet written for Hive. All readers of
a table, and all tables of an output, must agree. Exit code 1 if anything differs.

Needs pyarrow and duckdb; --spark needs pyspark and Java. Holds all rows in memory: for samples.
"""

import bz2, collections, datetime, decimal, gzip, hashlib, json, os, pathlib, re, sys, tempfile, time
import urllib.parse

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def columns_of(ddl):
    """(columns in the files, partition columns), each a list of (name, Hive type)."""
    lists = re.findall(r"(?s)\(\n(.*?)\n\)\n", ddl)
    parse = lambda text: [
        (name.replace("``", "`"), kind)
        for name, kind in re.findall(r"(?m)^  `((?:[^`]|``)+)` (.*?),?$", text)
    ]
    return parse(lists[0]), parse(lists[1]) if "PARTITIONED BY" in ddl else []


def value_of(text, kind):
    """A cell's or a directory's text as the value that Hive reads."""
    if text is None:
        return None
    if kind in ("TINYINT", "SMALLINT", "INT", "BIGINT"):
        return int(text)
    if kind in ("FLOAT", "DOUBLE"):
        return float(text.replace("Infinity", "inf"))
    if kind == "BOOLEAN":
        return {"true": True, "false": False}[text]
    if kind == "DATE":
        return datetime.date.fromisoformat(text)
    if kind == "TIMESTAMP":
        head, _, fraction = text.partition(".")
        at = datetime.datetime.strptime(head, "%Y-%m-%d %H:%M:%S")
        return at.replace(microsecond=int(fraction.ljust(6, "0") or 0))
    if kind.startswith("DECIMAL"):
        return decimal.Decimal(text)
    return text


def plain(value):
    """One form for a value, whichever reader it comes from."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, (list, tuple)) and not hasattr(value, "asDict"):
        return [plain(item) for item in value]
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)  # float, Decimal, date: repr is exact


def row_key(columns, values):
    names = [name for name, _ in columns]
    return json.dumps(dict(zip(names, map(plain, values))), sort_keys=True, ensure_ascii=False)


def partition_values(path, partitions):
    folders = path.split("/")[:-1]
    texts = [urllib.parse.unquote(folder.split("=", 1)[1]) for folder in folders]
    texts = [None if text == DEFAULT_PARTITION else text for text in texts]
    return [value_of(text, kind) for text, (_, kind) in zip(texts, partitions)]


def read_tsv(path, columns):
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "rb") as file:
        lines = file.read().split(b"\n")
    assert lines.pop() == b"", "the last line has an end"
    for line in lines:
        # A field ends at a tab without a backslash before it.
        cells = re.findall(rb"(?:^|\t)((?:\\.|[^\\\t])*)", line, re.S)
        unescape = lambda m: {b"n": b"\n", b"r": b"\r"}.get(m.group(1), m.group(1))
        texts = [
            None if cell == b"\\N" else re.sub(rb"\\(.)", unescape, cell, flags=re.S).decode()
            for cell in cells
        ]
        assert len(texts) == len(columns), (path, line)
        yield [value_of(text, kind) for text, (_, kind) in zip(texts, columns)]


def read_pyarrow(path, columns):
    import pyarrow.parquet

    names = [name for name, _ in columns]
    # INT96 would come as nanoseconds, which hold fewer years.
    with pyarrow.parquet.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        table = file.read(columns=names)
    yield from zip(*(table.column(name).to_pylist() for name in names))


def read_duckdb(path, columns):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    quoted = lambda name: '"' + name.replace('"', '""') + '"'
    # An instant comes as the wall clock in UTC; DuckDB would want pytz for it otherwise.
    cast = lambda name, kind: f"{name}::TIMESTAMP" if kind == "TIMESTAMP" else name
    names = ", ".join(cast(quoted(name), kind) for name, kind in columns)
    query = f"SELECT {names} FROM read_parquet(?, hive_partitioning = false)"
    yield from connection.execute(query, [glob_literal(path)]).fetchall()


def glob_literal(path):
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def spark_session():
    from pyspark.sql import SparkSession

    # PySpark makes timestamps of the zone of this process.
    os.environ["TZ"] = "UTC"
    time.tzset()
    home = tempfile.mkdtemp(prefix="interop-spark-")
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", home + "/warehouse")
        .config("spark.driver.extraJavaOptions", f"-Dderby.system.home={home} -Duser.timezone=UTC")
        .enableHiveSupport()
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    return session


def read_spark(session, ddl, columns, hive_serde):
    # Spark reads Hive's Parquet tables with its own reader unless it is told not to.
    session.conf.set("spark.sql.hive.convertMetastoreParquet", str(not hive_serde).lower())
    name = re.search(r"EXISTS `(.*?)` \(", ddl).group(1)
    session.sql(f"DROP TABLE IF EXISTS `{name}`")
    for statement in ddl.strip().rstrip(";").split(";\n"):
        session.sql(statement)
    names = ", ".join(f"`{column}`" for column, _ in columns)
    in_files = len(columns_of(ddl)[0])
    for row in session.sql(f"SELECT {names} FROM `{name}`").collect():
        # Of a text partition, Hive's tables show the directory's value: NULL is not told apart.
        keys = [None if value == DEFAULT_PARTITION else value for value in row[in_files:]]
        yield [*row[:in_files], *keys]


def check_files(table, problems):
    for file in table["files"]:
        path = pathlib.Path(table["root"]) / file["path"]
        data = path.read_bytes()
        found = (len(data), hashlib.sha256(data).hexdigest())
        if found != (file["bytes"], file["sha256"]):
            expected = (file["bytes"], file["sha256"])
            problems.append(f"{path}: expected {expected}, found {found}")


def rows_by_file(table, columns, partitions, reader, problems):
    rows = collections.Counter()
    for file in table["files"]:
        path = pathlib.Path(table["root"]) / file["path"]
        tail = partition_values(file["path"], partitions)
        keys = [row_key(columns + partitions, [*row, *tail]) for row in reader(path, columns)]
        if len(keys) != file["rows"]:
            name = reader.__name__
            problems.append(f"{path}: expected {file['rows']} rows, {name} found {len(keys)}")
        rows.update(keys)
    return rows


def check_table(manifest_path, table, spark, problems):
    """The rows by reader."""
    check_files(table, problems)
    folder = manifest_path.parent / f"{table['output']}.{table['format']}"
    ddl = (folder / "create_table.sql").read_text()
    columns, partitions = columns_of(ddl)
    readers = [read_tsv] if table["format"] == "tsv" else [read_pyarrow, read_duckdb]
    found = {}
    for reader in readers:
        found[reader.__name__] = rows_by_file(table, columns, partitions, reader, problems)
    if spark is not None:
        everything = columns + partitions
        for name, hive_serde in [("spark", False), ("spark_hive_serde", True)]:
            if name == "spark_hive_serde" and not reads_with_hive(table):
                continue
            rows = read_spark(spark, ddl, everything, hive_serde)
            found[name] = collections.Counter(row_key(everything, row) for row in rows)
    return found


def reads_with_hive(table):
    """Whether the table's Parquet is for Hive: then no timestamp or decimal is an integer."""
    import pyarrow.parquet

    if table["format"] != "parquet" or not table["files"]:
        return False
    path = pathlib.Path(table["root"]) / table["files"][0]["path"]
    with pyarrow.parquet.ParquetFile(path) as file:
        leaves = [file.schema.column(i) for i in range(len(file.schema))]
    refused = [leaf for leaf in leaves if leaf.logical_type.type in ("DECIMAL", "TIMESTAMP")]
    return not any(leaf.physical_type in ("INT32", "INT64") for leaf in refused)


def main(arguments):
    spark = spark_session() if "--spark" in arguments else None
    problems = []
    for argument in (a for a in arguments if a != "--spark"):
        path = pathlib.Path(argument)
        outputs = collections.defaultdict(dict)
        for table in json.loads(path.read_text())["tables"]:
            for reader, rows in check_table(path, table, spark, problems).items():
                outputs[table["output"]][f"{table['format']} by {reader}"] = rows
        for output, found in outputs.items():
            (first, expected), *others = found.items()
            print(f"{output}: {sum(expected.values())} rows; {', '.join(found)}")
            for name, rows in others:
                for sign, lost in (("lacks", expected - rows), ("adds", rows - expected)):
                    for row in sorted(lost)[:3]:
                        problems.append(f"{output}: {name} {sign}, against {first}: {row}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
