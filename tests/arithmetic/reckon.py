"""What SQL must make of numbers, reckoned by Python's integers and decimals.

    python3 tests/arithmetic/reckon.py SEED

prints one JSON object: `logs` (lines of id, a and b, as texts), `views` (SQL by name; each gives
kind, id and value) and `expected`: by view, for each kind and id, the value. An id without one must
be a reject. A value in a list may be given, or its row may be a reject. A kind that begins with
`double` has numbers, which must be the same doubles.

`expectations` are predicates by name, each with the types of a and b, and with what becomes of each
id: it is `kept`, `broken`, or it has `failed` to be evaluated. A value that is not of its type is NULL.
"""

import json
import random
import sys
from fractions import Fraction

INTEGERS = {f"{sign}Int{bits}": (bits, sign == "") for bits in (8, 16, 32, 64) for sign in ("", "U")}
I128 = 2**127 - 1


def bounds(name):
    bits, signed = INTEGERS[name]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def edges():
    values = {0, 1, -1, 2, -2, 3, 10, 1000}
    for name in INTEGERS:
        for bound in bounds(name):
            values |= {bound - 1, bound, bound + 1, bound // 2, bound // 3}
    for digits in (9, 18, 19, 37, 38):
        values |= {10**digits, 10**digits - 1, -(10**digits) + 1}
    return sorted(value for value in values if abs(value) < 10**38)


def truncated(a, b):
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def operate(op, a, b):
    if op in "/%" and b == 0:
        return None
    return {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: truncated(a, b),
        "%": lambda: a - b * truncated(a, b),
    }[op]()


def within(value, low, high):
    return value is not None and low <= value <= high


def decimal_text(value, scale):
    if scale == 0:
        return str(value)
    digits = str(abs(value)).rjust(scale + 1, "0")
    return ("-" if value < 0 else "") + digits[:-scale] + "." + digits[-scale:]


class Case:
    """One view: its branches, and what each gives by id."""

    def __init__(self):
        self.branches, self.expected = [], {}

    def add(self, kind, expression, results, where=""):
        kind = kind.replace("'", "")
        self.branches.append(
            f"SELECT '{kind}' AS kind, id, CAST({expression} AS TEXT) AS value FROM logs{where}"
        )
        self.expected[kind] = {str(row): value for row, value in results if value is not None}

    def sql(self):
        return "\nUNION ALL\n".join(self.branches) + "\n"


def arithmetic(rows):
    """Each width and each operator; texts that are no such number are rejects as well."""
    case = Case()
    for name in INTEGERS:
        low, high = bounds(name)
        a, b = f"arrow_cast(a, '{name}')", f"arrow_cast(b, '{name}')"
        for op in "+-*/%":
            def result(x, y):
                fits = within(x, low, high) and within(y, low, high)
                value = operate(op, x, y) if fits else None
                return str(value) if within(value, low, high) else None

            case.add(f"{name} {op}", f"{a} {op} {b}", [(row, result(x, y)) for row, x, y in rows])
        if INTEGERS[name][1]:
            def negated(x):
                return str(-x) if within(x, low, high) and within(-x, low, high) else None

            case.add(f"{name} neg", f"-{a}", [(row, negated(x)) for row, x, _ in rows])
            def absolute(x):
                return str(abs(x)) if within(x, low, high) and within(abs(x), low, high) else None

            case.add(f"{name} abs", f"abs({a})", [(row, absolute(x)) for row, x, _ in rows])
    return case


def decimals(rows):
    """38 digits, without and with a scale."""
    case = Case()
    limit = 10**38
    for scale in (0, 10):
        a, b = f"CAST(a AS DECIMAL(38, {scale}))", f"CAST(b AS DECIMAL(38, {scale}))"
        unit = 10**scale
        for op in "+-*/":
            def result(x, y):
                x, y = x * unit, y * unit
                if abs(x) >= limit or abs(y) >= limit or (op == "/" and y == 0):
                    return None
                if op == "*":
                    value, to = x * y, 2 * scale
                elif op == "/":
                    # The dividend is brought to scale + 4 first, which may have no place.
                    to = scale + 4
                    value = truncated(x * 10 ** (4 + scale), y)
                    if abs(x * 10 ** (4 + scale)) > I128:
                        return [decimal_text(value, to)] if abs(value) < limit else None
                else:
                    value, to = operate(op, x, y), scale
                return decimal_text(value, to) if abs(value) < limit else None

            kind = f"decimal(38,{scale}) {op}"
            case.add(kind, f"{a} {op} {b}", [(row, result(x, y)) for row, x, y in rows])
    return case


def casts(rows):
    """From 64 bits and 38 digits to all that is narrower, and among units of time."""
    case = Case()
    wide = "arrow_cast(a, 'Int64')"
    low64, high64 = bounds("Int64")
    for name in INTEGERS:
        low, high = bounds(name)

        def result(x):
            return str(x) if within(x, low64, high64) and within(x, low, high) else None

        kind = f"Int64 to {name}"
        case.add(kind, f"arrow_cast({wide}, '{name}')", [(row, result(x)) for row, x, _ in rows])

        def from_decimal(x):
            return str(x) if within(x, low, high) else None

        expression = f"arrow_cast(CAST(a AS DECIMAL(38, 0)), '{name}')"
        case.add(f"decimal to {name}", expression, [(row, from_decimal(x)) for row, x, _ in rows])
    for digits in (1, 5, 18):
        def fits(x):
            return str(x) if within(x, low64, high64) and abs(x) < 10**digits else None

        expression = f"CAST({wide} AS DECIMAL({digits}, 0))"
        case.add(f"Int64 to {digits} digits", expression, [(row, fits(x)) for row, x, _ in rows])

    def nanoseconds(x):
        value = x * 10**9
        return str(value) if within(x, low64, high64) and within(value, low64, high64) else None

    seconds = f"arrow_cast({wide}, 'Timestamp(Second, None)')"
    expression = f"arrow_cast(arrow_cast({seconds}, 'Timestamp(Nanosecond, None)'), 'Int64')"
    case.add("seconds to nanoseconds", expression, [(row, nanoseconds(x)) for row, x, _ in rows])
    return case


def filters(rows):
    case = Case()
    for name in ("Int32", "Int64", "UInt64"):
        low, high = bounds(name)
        a, b = f"arrow_cast(a, '{name}')", f"arrow_cast(b, '{name}')"

        def kept(x, y):
            fits = within(x, low, high) and within(y, low, high)
            return "kept" if fits and within(x + y, low, high) and x + y > 10 else None

        kind, where = f"{name} where", f" WHERE {a} + {b} > 10"
        case.add(kind, "'kept'", [(row, kept(x, y)) for row, x, y in rows], where)
    return case


def gathered(rows):
    """Sums of groups, of distinct values and of windows, over values that are all numbers."""
    case = Case()
    for name in ("Int32", "Int64", "UInt64"):
        low, high = bounds(name)
        valid = [(row, x) for row, x, _ in rows if within(x, low, high)]
        a = f"arrow_cast(a, '{name}')"
        source = f"(SELECT id, {a} AS x FROM logs)"
        totals, distinct = {}, {}
        for row, x in valid:
            totals[row % 3] = totals.get(row % 3, 0) + x
            distinct.setdefault(row % 3, set()).add(x)

        def add(kind, sql, results):
            case.branches.append(sql)
            case.expected[kind] = {str(row): str(value) for row, value in results}

        kind = f"{name} sum"
        add(
            kind,
            f"SELECT '{kind}' AS kind, id % 3 AS id, CAST(sum(x) AS TEXT) AS value FROM {source} "
            "GROUP BY id % 3",
            totals.items(),
        )
        kind = f"{name} sum distinct"
        add(
            kind,
            f"SELECT '{kind}' AS kind, id % 3 AS id, CAST(sum(DISTINCT x) AS TEXT) AS value "
            f"FROM {source} GROUP BY id % 3",
            [(group, sum(values)) for group, values in distinct.items()],
        )
        window = [
            (row, sum(x for _, x in valid[max(0, index - 2) : index + 1]))
            for index, (row, _) in enumerate(valid)
        ]
        kind = f"{name} window"
        add(
            kind,
            f"SELECT '{kind}' AS kind, id, CAST(sum(x) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING "
            f"AND CURRENT ROW) AS TEXT) AS value FROM {source}",
            window,
        )
    return case


def add_gathered(case, name, source, valid, result):
    """An aggregate of groups, and of windows of three rows; `result` makes a value of addends."""
    groups = {}
    for row, x in valid:
        groups.setdefault(row % 3, []).append(x)
    frames = [
        (row, [x for _, x in valid[max(0, index - 2) : index + 1]])
        for index, (row, _) in enumerate(valid)
    ]

    def add(kind, sql, addends):
        case.branches.append(sql)
        results = ((row, result(values)) for row, values in addends)
        case.expected[kind] = {str(row): value for row, value in results if value is not None}

    function = name.split()[-1]
    kind = f"{name} of groups"
    add(
        kind,
        f"SELECT '{kind}' AS kind, id % 3 AS id, CAST({function}(x) AS TEXT) AS value "
        f"FROM {source} GROUP BY id % 3",
        groups.items(),
    )
    kind = f"{name} of windows"
    add(
        kind,
        f"SELECT '{kind}' AS kind, id, CAST({function}(x) OVER (ORDER BY id ROWS BETWEEN 2 "
        f"PRECEDING AND CURRENT ROW) AS TEXT) AS value FROM {source}",
        frames,
    )


def averages(rows):
    """Of integers and doubles the nearest double, of decimals four more digits, cut off."""
    case = Case()

    def nearest(values):
        return repr(float(Fraction(sum(values)) / len(values)))

    for name in ("Int8", "Int32", "Int64", "UInt64"):
        valid = [(row, x) for row, x, _ in rows if within(x, *bounds(name))]
        source = f"(SELECT id, arrow_cast(a, '{name}') AS x FROM logs)"
        add_gathered(case, f"double {name} avg", source, valid, nearest)
    # Their sums are doubles, in whatever order they are added.
    quarters = [(row, Fraction(row * row % 1000, 4)) for row, _, _ in rows]
    source = "(SELECT id, CAST(id * id % 1000 AS DOUBLE) / 4 AS x FROM logs)"
    add_gathered(case, "double quarters avg", source, quarters, nearest)
    for digits, scale in ((9, 2), (18, 0), (28, 10), (34, 4), (38, 0), (38, 10), (38, 38)):
        unit, limit = 10**scale, 10**digits
        more = min(38, scale + 4) - scale
        valid = [(row, x * unit) for row, x, _ in rows if abs(x) * unit < limit]
        source = f"(SELECT id, CAST(a AS DECIMAL({digits}, {scale})) AS x FROM logs)"

        def average(values):
            value = truncated(sum(values) * 10**more, len(values))
            fits = abs(value) < 10 ** min(38, digits + 4)
            return decimal_text(value, scale + more) if fits else None

        def total(values):
            value = sum(values)
            return decimal_text(value, scale) if abs(value) < 10 ** min(38, digits + 10) else None

        add_gathered(case, f"decimal({digits},{scale}) avg", source, valid, average)
        add_gathered(case, f"decimal({digits},{scale}) sum", source, valid, total)
    return case


def expectations(rows):
    """What becomes of each row, if a predicate with arithmetic decides."""
    checks = {}
    types = [(name, name.lower(), *bounds(name)) for name in ("Int32", "Int64")]
    types.append(("Decimal128(38, 0)", "decimal", 1 - 10**38, 10**38 - 1))
    for data_type, name, low, high in types:
        operators = "+-*" if name == "decimal" else "+-*/%"
        for op in operators:
            fate = {"kept": [], "broken": [], "failed": []}
            for row, x, y in rows:
                if not within(x, low, high) or not within(y, low, high):
                    fate["broken"].append(row)
                    continue
                value = operate(op, x, y)
                if not within(value, low, high):
                    fate["failed"].append(row)
                else:
                    fate["kept" if value > 10 else "broken"].append(row)
            word = {"+": "plus", "-": "minus", "*": "times", "/": "by", "%": "modulo"}[op]
            predicate = f"{name}_a {op} {name}_b > 10"
            checks[f"{name}_{word}"] = {"predicate": predicate, **fate}
    columns = [
        f"arrow_try_cast({side}, '{data_type}') AS {name}_{side}"
        for data_type, name, _, _ in types
        for side in "ab"
    ]
    view = f"SELECT id, {', '.join(columns)}, _source, _line FROM logs"
    return {"view": view, "checks": checks}


def main():
    choose = random.Random(int(sys.argv[1]))
    values = edges()
    pairs = [(choose.choice(values), choose.choice(values)) for _ in range(150)]
    rows = [(row, a, b) for row, (a, b) in enumerate(pairs)]
    cases = {
        "arithmetic": arithmetic(rows),
        "decimals": decimals(rows),
        "casts": casts(rows),
        "filters": filters(rows),
        "gathered": gathered(rows),
        "averages": averages(rows),
    }
    print(
        json.dumps(
            {
                "logs": [json.dumps({"id": row, "a": str(a), "b": str(b)}) for row, a, b in rows],
                "views": {name: case.sql() for name, case in cases.items()},
                "expected": {name: case.expected for name, case in cases.items()},
                "expectations": expectations(rows),
            }
        )
    )


main()
