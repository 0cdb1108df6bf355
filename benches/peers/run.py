"""Measures the same job in Ashiato and its peers: `make bench-peers`, or

    python run.py [--sides ashiato,duckdb] [--runs 5] [--input-mb 857] [--threads 2] [--scaling]
        [--stages]

A side is a process of its own. Its CPU seconds (user and system) and its peak memory are what the
kernel says when it ends (wait4), start of the interpreter and imports included; wall time is from
the start of the process to its end. Before measuring, every side's rows are proved equal to
Ashiato's.

This process imports none of the peers: a child's peak memory begins with its parent's.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
WORK = REPOSITORY / "target" / "bench"
ASHIATO = os.environ.get("ASHIATO_BIN", str(REPOSITORY / "target" / "release" / "ashiato"))
FIRST_DAY = date(2026, 11, 21)
SCALE = 10
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MIB = 1 << 20

PEERS = ["duckdb", "chdb", "polars", "datafusion", "spark"]
OWN = ["ashiato-enriched", "ashiato-1-thread"]
SCALED = f"ashiato-x{SCALE}"
# Sides whose rows must equal Ashiato's.
COMPARED = ["ashiato", *PEERS, "ashiato-1-thread"]


def logs_of(megabytes):
    """The input, made once: plain NDJSON, no bad lines."""
    logs = WORK / f"logs-{megabytes}mb"
    if logs.exists():
        return logs
    made = logs.with_suffix(".tmp")
    shutil.rmtree(made, ignore_errors=True)
    subprocess.run(
        [ASHIATO, "generate", "--out", made, "--seed", "1", "--bytes", str(megabytes * 10**6),
         "--date", FIRST_DAY.isoformat(), "--bad-ratio", "0", "--compression", "none"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for path in made.rglob("*.ndjson"):
        content = path.read_bytes()
        if content.startswith(BYTE_ORDER_MARK):  # DuckDB refuses it
            path.write_bytes(content.removeprefix(BYTE_ORDER_MARK))
    made.rename(logs)
    return logs


def scaled(logs):
    """The same objects under SCALE days' names."""
    days = logs.with_name(f"{logs.name}-x{SCALE}")
    if not days.exists():
        for number in range(SCALE):
            day = days / f"dt={FIRST_DAY + timedelta(days=number)}"
            shutil.copytree(logs / f"dt={FIRST_DAY}", day, copy_function=os.link)
    return days


def ashiato_command(side, logs, out, threads):
    """Command and environment of a side that is Ashiato."""
    pipeline = "pipeline-enriched" if side == "ashiato-enriched" else "pipeline"
    days = SCALE if side == SCALED else 1
    command = [
        ASHIATO, "run", str(HERE / pipeline), "--quiet",
        "--interval-start", f"{FIRST_DAY}T00:00:00+09:00",
        "--interval-end", f"{FIRST_DAY + timedelta(days=days)}T00:00:00+09:00",
    ]  # fmt: skip
    if side == "ashiato-1-thread":
        threads = 1
        command = ["taskset", "-c", "0", *command]
    source = scaled(logs) if side == SCALED else logs
    return command, {
        "ASHIATO_SOURCE": str(source), "ASHIATO_OUT": str(out), "ASHIATO_THREADS": str(threads)
    }  # fmt: skip


def command_of(side, logs, out, threads):
    if side.startswith("ashiato"):
        return ashiato_command(side, logs, out, threads)
    return [sys.executable, str(HERE / f"{side}_job.py"), str(logs), str(out), str(threads)], {}


def table_of(side, out):
    return out / "events" if side.startswith("ashiato") else out


def measure(side, logs, threads):
    """One run of a side; its table stays where it was written."""
    out = WORK / "out" / side
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    command, environment = command_of(side, logs, out, threads)
    with open(WORK / f"{side}.log", "wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{side} failed ({process.returncode}); see {log.name}")
    return {
        "side": side,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": wall,
        "peak_mib": usage.ru_maxrss * 1024 / MIB,
        "output_bytes": sum(p.stat().st_size for p in table_of(side, out).rglob("*.parquet")),
    }


def prove_equal(sides, logs, threads):
    """Runs each side once and compares its rows with Ashiato's; ends if any differ."""
    compared = [side for side in COMPARED if side in sides]
    for side in dict.fromkeys(["ashiato", *compared]):
        measure(side, logs, threads)
    tables = {side: str(table_of(side, WORK / "out" / side)) for side in ["ashiato", *compared]}
    wanted = tables.pop("ashiato")
    if tables:
        subprocess.run([sys.executable, HERE / "equal.py", wanted, *tables.values()], check=True)
    return list(tables)


def warm(logs):
    """Reads every object, so that all sides find them in memory."""
    for path in logs.rglob("*.ndjson"):
        path.read_bytes()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", default=",".join(["ashiato", *PEERS[:-1], *OWN]))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--input-mb", type=int, default=857)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scaling", action="store_true", help=f"Ashiato on {SCALE} times it, too")
    parser.add_argument("--stages", action="store_true", help="each stage alone, of `make bench`")
    results = REPOSITORY / "benches" / "results" / date.today().isoformat()
    parser.add_argument("--out", type=Path, default=results)
    return parser.parse_args()


def main():
    chosen = arguments()
    sides = chosen.sides.split(",") + ([SCALED] if chosen.scaling else [])
    logs = logs_of(chosen.input_mb)
    warm(logs)
    equal = prove_equal(sides, logs, chosen.threads)
    runs = []
    for number in range(chosen.runs):
        turn = number % len(sides)
        for side in sides[turn:] + sides[:turn]:
            run = {"round": number, **measure(side, logs, chosen.threads)}
            runs.append(run)
            print("{round} {side}: {cpu_s:.2f} CPU s, {wall_s:.2f} s".format(**run), flush=True)
    import report  # matplotlib comes with it

    stages = report.stages_of(WORK / "ashiato.log", logs) if chosen.stages else []
    report.write(chosen, sides, equal, runs, ASHIATO, logs, stages)


if __name__ == "__main__":
    main()
