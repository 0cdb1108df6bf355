"""Has Spark read tables through Hive's own SerDes, and compares every value with the JSON input.

usage: check.py BINARY FOLDER

The Parquet is read by ParquetHiveSerDe (spark.sql.hive.convertMetastoreParquet=false), the TSV by
LazySimpleSerDe, both by the create_table.sql that ashiato writes beside its manifest. The expected
rows are the input's, read by Python's json alone. Exits with 1 and what differs.

What Hive makes of values by itself, and is expected as such:
- An empty partition value has the same directory as NULL. In a text partition it is selected as the
  directory's text, __HIVE_DEFAULT_PARTITION__, but `IS NULL` finds it.
- Years before 1582 are left out: Hive 2 counts them by the Julian calendar.
"""

import collections
import datetime
import decimal
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from read_tables import columns_of, read_spark, row_key, spark_session  # noqa: E402

TEXTS = [
    None,
    "",
    " ",
    " both ends ",
    "\t",
    "a\tb",
    "\n",
    "a\nb",
    "\r",
    "a\r\nb",
    "\\",
    "\\\\",
    "\\n",
    "\\t",
    "\\N",
    "\\\\N",
    "N",
    "NULL",
    "null",
    "__HIVE_DEFAULT_PARTITION__",
    "'single' \"double\" `back`",
    "a,b;c|d",
    "\u0001\u0002\u0003\u0008\u000b\u000c\u001f\u007f",
    "日本語のテキスト",
    "e\u0301 against \u00e9",
    "\u200bzero\u200dwidth\ufeff",
    "\u202eright to left\u202c",
    "👩‍👩‍👧‍👦 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "\u0085\u2028\u2029 other line ends",
    "<script>alert(1)</script>",
    "Robert'); DROP TABLE students;--",
    "x" * 100_000,
]
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
PARTS = ["plain", "a/b", "x:y", "50%", "%2F", "a b", "日本", "q?*[]{}'\"#=^\\", None, "", "..", "_x"]
FLAGS = [True, False, None]
I32 = [0, 1, -1, 2**31 - 1, -(2**31), 12345, None]
I64 = [0, 1, -1, 2**63 - 1, -(2**63), None]
F64 = ["0.0", "-0.0", "1.5", "1e308", "-1.7976931348623157e308", "5e-324", "0.1", None]
TIMES = [
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1600-02-29T12:34:56.000001Z",
    "1900-01-01T00:00:00+09:00",
    "2026-11-21T13:05:00.5+09:00",
    "9999-12-31T23:59:59.999999Z",
    "2024-02-29T00:00:00.123Z",
    None,
]
DAYS = ["1970-01-01", "1969-12-31", "1600-02-29", "2026-11-21", "9999-12-31", None]
LISTS = [
    None,
    [],
    [{"sku": "a", "n": 1}],
    [{"sku": None, "n": None}, {"sku": "", "n": -1}],
    [{"sku": "日\t本\n\\N", "n": 2**63 - 1}] * 3,
]
DECIMALS = {"d9": (9, 2), "d10": (10, 2), "d18": (18, 4), "d19": (19, 4), "d38": (38, 10)}


def decimals(precision, scale):
    """Texts of the largest, the least, zero and some between."""
    largest = "9" * (precision - scale) + "." + "9" * scale
    one = "0." + "0" * (scale - 1) + "1"
    return [largest, "-" + largest, "0", one, "-" + one, "12", None]


def input_lines():
    """Each value of each column some times, in combinations; numbers as their exact texts."""
    quoted = lambda value: json.dumps(value, ensure_ascii=False)
    texts = {"text": [quoted(text) for text in TEXTS], "part": [quoted(part) for part in PARTS]}
    texts |= {"flag": [quoted(flag) for flag in FLAGS], "f64": [n or "null" for n in F64]}
    texts |= {"i32": [quoted(n) for n in I32], "i64": [quoted(n) for n in I64]}
    texts |= {"at": [quoted(at) for at in TIMES], "day": [quoted(day) for day in DAYS]}
    texts |= {"items": [quoted(items) for items in LISTS]}
    texts |= {name: [n or "null" for n in decimals(*kind)] for name, kind in DECIMALS.items()}
    # Lengths of the lists have few factors in common, so that values meet in many ways.
    for number in range(420):
        cells = [f'"{name}":{values[number % len(values)]}' for name, values in texts.items()]
        yield f'{{"id":{number},{",".join(cells)}}}'


def expected_row(line):
    record = json.loads(line, parse_float=str)
    for name, (precision, scale) in DECIMALS.items():
        if record[name] is not None:
            context = decimal.Context(prec=precision)
            unit = decimal.Decimal(1).scaleb(-scale)
            record[name] = decimal.Decimal(str(record[name])).quantize(unit, context=context)
    if record["f64"] is not None:
        record["f64"] = float(record["f64"])
    if record["at"] is not None:
        record["at"] = datetime.datetime.fromisoformat(record["at"].replace("Z", "+00:00"))
    if record["day"] is not None:
        record["day"] = datetime.date.fromisoformat(record["day"])
    record["part"] = record["part"] or None
    return record


def canonical(value):
    """One text for a decimal's value: Spark's have exponents of their own."""
    if not isinstance(value, decimal.Decimal):
        return value
    return f"{decimal.Context(prec=38).normalize(value):f}"


def run(binary, folder, lines):
    logs = folder / "logs"
    logs.mkdir(parents=True)
    (logs / "naughty.ndjson").write_text("\n".join(lines) + "\n", "utf-8")
    command = [binary, "run", "--quiet", str(HERE / "naughty"), "--date", "2026-11-21"]
    environment = {**os.environ, "OUT": str(folder)}
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    result = json.loads(finished.stdout)
    counts = (result["lines"], result["decoded"], result["rejected"])
    assert counts == (len(lines), len(lines), 0), counts
    return next((folder / "state/naughty/manifests").glob("*/manifest.json"))


def check_null_partition(spark, ddl, name, records):
    """Whether rows without a partition value are selected and found as Hive has it."""
    if "PARTITIONED BY" not in ddl:
        return 0
    table = re.search(r"EXISTS `(.*?)` \(", ddl).group(1)
    count = lambda where: spark.sql(f"SELECT part FROM {table} WHERE {where}").collect()
    expected = [NULL_PARTITION] * sum(record["part"] is None for record in records)
    found = [row.part for row in count("part IS NULL")]
    if found == expected:
        return 0
    print(f"{name}: {len(expected)} rows without a part, found {found[:9]}", file=sys.stderr)
    return 1


def main(binary, folder):
    folder = pathlib.Path(folder).resolve()
    lines = list(input_lines())
    manifest = run(str(pathlib.Path(binary).resolve()), folder, lines)
    records = [expected_row(line) for line in lines]
    spark, wrong = spark_session(), 0
    for table in json.loads(manifest.read_text())["tables"]:
        name = f"{table['output']}.{table['format']}"
        ddl = (manifest.parent / name / "create_table.sql").read_text()
        columns, partitions = columns_of(ddl)
        columns += partitions
        key = lambda row: row_key(columns, map(canonical, row))
        wanted = ([record[column] for column, _ in columns] for record in records)
        expected = collections.Counter(map(key, wanted))
        found = collections.Counter(map(key, read_spark(spark, ddl, columns, hive_serde=True)))
        wrong += check_null_partition(spark, ddl, name, records)
        print(f"{name}: {sum(found.values())} rows of {len(columns)} columns by Hive's SerDe")
        for sign, differing in (("lacks", expected - found), ("adds", found - expected)):
            for row in sorted(differing)[:3]:
                wrong += 1
                print(f"{name} {sign}: {row[:2000]}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
