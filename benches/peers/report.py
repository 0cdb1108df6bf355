"""Writes what run.py measured: tables, a plot and the raw runs."""

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

CRITERION = Path(__file__).resolve().parents[2] / "target" / "criterion"
# What the job is made of, and the benchmarks of `make bench` that measure it on one thread.
STAGES = {
    "read, frame lines": "read_bytes/plain",
    "decode": "decode/peers_job",
    "tax": "functions/consumption_tax",
    "route, encode, compress": "tables/peers_job",
}
PACKAGES = {"spark": "pyspark", "chdb": "chdb"}
MEASURES = ["cpu_s", "wall_s", "peak_mib", "output_bytes"]


def version_of(side, ashiato):
    if side.startswith("ashiato"):
        return subprocess.run(
            [ashiato, "--version"], capture_output=True, text=True
        ).stdout.split()[-1]
    version = metadata.version(PACKAGES.get(side, side))
    return f"{version} (ClickHouse {metadata.version('chdb-core')})" if side == "chdb" else version


def machine():
    """The processor's name, the cores and the memory of this machine."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [
        line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{(models or [platform.machine()])[0]}, {os.cpu_count()} cores, {memory:.0f} GiB"


def medians_of(sides, runs):
    return {
        side: {
            m: statistics.median(run[m] for run in runs if run["side"] == side) for m in MEASURES
        }
        for side in sides
    }


def row(side, version, values, own):
    """A line of the table; the last two say how many times Ashiato's CPU and wall time."""
    cells = [side, version, f"{values['cpu_s']:.2f}", f"{values['wall_s']:.2f}"]
    cells += [f"{values['peak_mib']:.0f}", f"{values['output_bytes'] / 1e6:.1f}"]
    cells += [f"{values[m] / own[m]:.2f}" if own else "" for m in ("cpu_s", "wall_s")]
    return f"| {' | '.join(cells)} |"


def input_bytes_of(logs):
    return sum(path.stat().st_size for path in logs.rglob("*.ndjson"))


def stages_of(log, logs):
    """Seconds of a core that each stage takes for the whole input, by criterion's medians."""
    rows = json.loads(log.read_text().splitlines()[-1])["decoded"]
    amounts = {"Bytes": input_bytes_of(logs), "Elements": rows}
    stages = []
    for name, benchmark in STAGES.items():
        measured = CRITERION / benchmark / "new"
        estimates = json.loads((measured / "estimates.json").read_text())
        throughput = json.loads((measured / "benchmark.json").read_text())["throughput"]
        [(unit, amount)] = throughput.items()
        seconds = estimates["median"]["point_estimate"] / 1e9 * amounts[unit] / amount
        stages.append({"name": name, "benchmark": benchmark, "cpu_s": seconds})
    return stages


def throughput_of(measured):
    """A benchmark's median as a line's cells."""
    nanoseconds = json.loads((measured / "estimates.json").read_text())["median"]["point_estimate"]
    benchmark = json.loads((measured / "benchmark.json").read_text())
    [(unit, amount)] = benchmark["throughput"].items()
    by_second = amount / nanoseconds * 1e3
    shown = "MB/s" if unit == "Bytes" else "million/s"
    return [benchmark["full_id"], f"{by_second:.3g} {shown}"]


def all_stages():
    """What `make bench` measured, as Markdown."""
    measured = sorted(path.parent for path in CRITERION.glob("**/new/benchmark.json"))
    lines = ["# Each stage by itself, on one thread", ""]
    lines += [f"Medians of criterion; {machine()}. Made by `make bench`.", ""]
    lines += ["| benchmark | throughput |", "|---|---:|"]
    return lines + [f"| {' | '.join(throughput_of(path))} |" for path in measured]


def stages_table(stages, whole):
    """Each stage alone, their sum, and what part of it the whole job reaches."""
    total = sum(stage["cpu_s"] for stage in stages)
    lines = ["", "## The limit: each stage alone", ""]
    lines += ["| stage | benchmark | CPU s |", "|---|---|---:|"]
    lines += [f"| {s['name']} | {s['benchmark']} | {s['cpu_s']:.2f} |" for s in stages]
    lines += [f"| sum | | {total:.2f} |", f"| whole job | | {whole:.2f} |", ""]
    part = 100 * total / whole
    return [*lines, f"The whole job reaches {part:.0f} % of the speed that its stages' sum allows."]


def table(chosen, equal, versions, medians, input_bytes, stages):
    """The Markdown, line by line."""
    command = " ".join(["python benches/peers/run.py", *sys.argv[1:]])
    lines = [
        "# The same job in Ashiato and its peers",
        "",
        f"{input_bytes / 1e6:.0f} MB of NDJSON to Parquet (zstd 1) by day and service; "
        f"{chosen.threads} threads; medians of {chosen.runs} runs, sides alternated; "
        f"ratios to Ashiato; {machine()}.",
        f"Rows equal to Ashiato's, column by column: {', '.join(equal) or 'none compared'}.",
        "",
        f"Made by `{command}`.",
        "",
        "| side | version | CPU s | wall s | peak MiB | output MB | CPU ratio | wall ratio |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    own = medians.get("ashiato")
    lines += [row(side, versions[side], values, own) for side, values in medians.items()]
    if stages and own:
        lines += stages_table(stages, own["cpu_s"])
    return lines


def write(chosen, sides, equal, runs, ashiato, logs, stages):
    """Writes peers.md, peers.json, peers.svg and perhaps stages.md to chosen.out."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    medians = medians_of(sides, runs)
    record = {
        "machine": machine(),
        "input_bytes": input_bytes_of(logs),
        "threads": chosen.threads,
        "versions": {side: version_of(side, ashiato) for side in sides},
        "equal": equal,
        "medians": medians,
        "stages": stages,
        "runs": runs,
    }
    (chosen.out / "peers.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = table(chosen, equal, record["versions"], medians, record["input_bytes"], stages)
    (chosen.out / "peers.md").write_text("\n".join(lines) + "\n")
    if stages:
        (chosen.out / "stages.md").write_text("\n".join(all_stages()) + "\n")
    plot(sides, medians, chosen.out / "peers.svg")
    print("\n".join(lines))


def plot(sides, medians, path):
    figure, axes = plt.subplots(1, 3, figsize=(11, 0.4 * len(sides) + 1.2), sharey=True)
    titles = {"cpu_s": "CPU s", "wall_s": "wall s", "peak_mib": "peak MiB"}
    colours = ["#c33" if side.startswith("ashiato") else "#789" for side in sides]
    for axis, (measure, title) in zip(axes, titles.items()):
        bars = axis.barh(sides, [medians[side][measure] for side in sides], color=colours)
        axis.bar_label(bars, fmt="%.0f" if measure == "peak_mib" else "%.1f", padding=2, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)
