"""Writes what run.py measured: a table, a plot and the raw trials."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from report import machine  # noqa: E402

NAMES = {
    "aim": "one event a request",
    "nginx_aim": "nginx at the same rate",
    "ladder": "one event a request, growing rate",
    "nginx": "nginx: 204 and a line in the access log",
    "ten": "ten events a request, growing rate",
    "redis": "visits in Redis (appendfsync always)",
    "slow_store": "object store answers after 200 ms",
    "oha": "cross-check: oha, visitors without cookies",
    "soak": "memory over time",
}
HEAD = """# The collector under load

`make bench-collector` on {machine}; the generator runs on the same cores. Latency is from the
moment when a request was due to its answer, in milliseconds; an answer is given when the event is
on disk. Where events are landed, all that were acknowledged are counted in the objects afterwards.
`stolen` is the share of both cores' time that the host gave to other machines meanwhile.

"""
COLUMNS = ["trial", "rate asked", "answered", "p50", "p99", "p99.9", "max", "batch max ≤"]
COLUMNS += ["CPU s", "of it generator's", "stolen", "peak MiB", "landed"]


def row(one):
    answered, used = one["answered"], one.get("generator_cpu_s")
    latency = answered["latency_ms"]
    cells = [NAMES[one["name"]], f"{one['rate']:,}/s × {one['seconds']} s"]
    cells += [f"{answered['answered_rate']:,.0f}/s"]
    cells += [f"{latency[p]:.1f}" for p in ("p50", "p99", "p99.9", "max")]
    cells += [str(one.get("batch_under_ms", "")), f"{one['cpu_s'] + (used or 0):.0f}"]
    stolen = answered.get("stolen_percent")
    cells += [f"{used:.0f}" if used else "", "" if stolen is None else f"{stolen} %"]
    cells += [f"{one['peak_mib']:.0f}" if "peak_mib" in one else ""]
    cells += [f"{one['landed']:,}" if "landed" in one else ""]
    return f"| {' | '.join(cells)} |"


def highest(steps, p99_max_ms):
    """The last step that kept the time."""
    good = [
        s
        for s in steps
        if s["answered"]["latency_ms"]["p99"] < p99_max_ms
        and set(s["answered"]["statuses"]) <= {"204"}
    ]
    return good[-1] if good else None


def sentences(measured, p99_max_ms, p999_max_ms):
    for name in ("ladder", "ten", "redis", "nginx"):
        best = highest(measured.get(name, []), p99_max_ms)
        if best:
            events = f" ({best['rate'] * best['events']:,} events/s)" if name == "ten" else ""
            yield (
                f"- {NAMES[name]}: p99 stays under {p99_max_ms:.0f} ms up to "
                f"{best['rate']:,} requests/s{events}."
            )
    for one in (one for one in measured.get("aim", []) if one["name"] == "aim"):
        latency = one["answered"]["latency_ms"]
        kept = latency["p99"] < p99_max_ms and latency["p99.9"] < p999_max_ms
        verdict = "kept" if kept else "**missed**"
        yield (
            f"- The aim, {one['rate']:,} requests/s with p99 < {p99_max_ms:.0f} ms and p99.9 < "
            f"{p999_max_ms:.0f} ms for {one['seconds']} s: {verdict}."
        )
    for one in measured.get("soak", []):
        seen = one["resident_mib"]
        parts = [seen[i * len(seen) // 10] for i in range(10)] + [seen[-1]]
        yield (
            f"- Memory over {one['seconds']} s at {one['rate']:,} requests/s, in MiB, every tenth: "
            + ", ".join(f"{mib:.0f}" for mib in parts)
            + "."
        )


def plot(path, measured, p99_max_ms):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for number, one in enumerate(measured.get("aim", []) + measured.get("slow_store", [])):
        latency = one["answered"]["latency_ms"]
        points = sorted(latency.items(), key=lambda point: point[1])
        style = {"nginx_aim": "grey", "slow_store": "tab:orange"}.get(one["name"], "tab:blue")
        label = f"{NAMES[one['name']]} ({number // 2 + 1})" if one["name"] != "slow_store" else ""
        left.plot(*zip(*points), marker="o", color=style, label=label or NAMES["slow_store"])
    left.set(title="Latency by percentile", ylabel="ms", yscale="log")
    for name in ("ladder", "ten", "redis", "nginx"):
        steps = measured.get(name, [])
        rates = [s["rate"] * s["events"] / 1000 for s in steps]
        p99 = [s["answered"]["latency_ms"]["p99"] for s in steps]
        if steps:
            right.plot(rates, p99, marker="o", label=NAMES[name].removesuffix(", growing rate"))
    right.axhline(p99_max_ms, color="grey", linestyle=":", label=f"{p99_max_ms:.0f} ms")
    right.set(title="p99 by rate", xlabel="thousand events/s", ylabel="ms", yscale="log")
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(out, measured, p99_max_ms, p999_max_ms):
    """All files; a name that was not measured anew keeps its earlier trials."""
    out.mkdir(parents=True, exist_ok=True)
    raw = out / "collector.json"
    earlier = json.loads(raw.read_text())["trials"] if raw.exists() else {}
    measured = {name: (earlier | measured)[name] for name in NAMES if name in earlier | measured}
    raw.write_text(json.dumps({"machine": machine(), "trials": measured}, indent=1) + "\n")
    table = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * 2}{'---:|' * (len(COLUMNS) - 2)}"]
    table += [row(one) for steps in measured.values() for one in steps]
    said = "\n".join(sentences(measured, p99_max_ms, p999_max_ms))
    text = HEAD.format(machine=machine()) + "\n".join(table) + f"\n\n{said}\n"
    (out / "collector.md").write_text(text + "\n![latency](collector.svg)\n")
    plot(out / "collector.svg", measured, p99_max_ms)
