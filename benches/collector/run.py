"""How fast the collector is: an open loop of visitors' requests, durable answers.

    run.py [--seconds 60] [--soak 600] [--only NAME ...] [--out FOLDER]

Each trial starts a collector in a folder of its own, sends traffic with `ashiato load`, stops it,
and counts what landed: an acknowledged event that is missing ends the benchmark.
"""

import argparse
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import zstandard

import servers
import tables

ROOT = Path(__file__).resolve().parents[2]
ASHIATO = ROOT / "target" / "release" / "ashiato"
WORK = ROOT / "target" / "bench" / "collector"
PORT = 18080
TICKS = os.sysconf("SC_CLK_TCK")
# Requests a second that are tried, one after another, until the 99th percentile is over 100 ms.
LADDER = [10_000, 15_000, 20_000, 22_500, 25_000, 27_500, 30_000, 35_000, 40_000, 50_000]
LADDER_OF_REDIS = [2_500, 5_000, 7_500, 10_000, 15_000, 20_000]
LADDER_OF_TEN = [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000]
P99_MAX_MS = 100.0
P999_MAX_MS = 250.0


def cpu_seconds(pid):
    """Seconds of a core that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def stolen_and_all():
    """Ticks of all cores that other machines had, and all ticks, since the start."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return ticks[7], sum(ticks[:8])


class Watch(threading.Thread):
    """Notes a process's memory once a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.resident, self.over = pid, [], threading.Event()

    def run(self):
        while not self.over.wait(1.0):
            try:
                self.resident.append(round(resident_mib(self.pid), 1))
            except OSError:
                return


def send(target, rate, seconds, events=1, connections=1000, visitors=20_000):
    """Traffic; gives the generator's report and the CPU seconds that it used itself."""
    command = [ASHIATO, "load", "--target", target, "--rate", str(rate), "--events", str(events)]
    command += ["--duration", f"{seconds}s", "--warm-up", "5s"]
    command += ["--connections", str(connections), "--visitors", str(visitors)]
    before, (stolen, ticks) = os.times(), stolen_and_all()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    report = json.loads(done.stdout)
    stolen_now, ticks_now = stolen_and_all()
    report["stolen_percent"] = round(100 * (stolen_now - stolen) / (ticks_now - ticks), 1)
    return report, round(used, 2)


def metrics_of(target):
    """Counters by their name and labels."""
    with urllib.request.urlopen(f"http://{target}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def over(metrics, name):
    """The smallest bound of a histogram that nothing was over, in milliseconds."""
    prefix = f'{name}_bucket{{le="'
    count = metrics[f"{name}_count"]
    bounds = [
        float(key[len(prefix) :].rstrip('"}'))
        for key, value in metrics.items()
        if key.startswith(prefix) and value == count
    ]
    return round(min(bounds) * 1000, 1)


class Collector:
    """A collector in a fresh folder."""

    def __init__(self, name, store="", location=None, landing=""):
        self.folder = WORK / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.target = f"127.0.0.1:{PORT}"
        self.landed = Path(location or self.folder / "raw")
        config = self.folder / "collector.toml"
        config.write_text(
            f'listen = "{self.target}"\ndata = "{self.folder}/data"\nstop_delay = "0s"\n[landing]\n'
            f'location = "{location or self.landed}"\n{landing}\n{store}\n'
        )
        self.log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            [ASHIATO, "collect", "--config", config],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | {"AWS_ALLOW_HTTP": "true"},
        )
        ready = self.process.stdout.readline()
        if "collecting" not in ready:
            sys.exit(f"the collector did not start: see {self.folder}/log")
        self.watch = Watch(self.process.pid)
        self.watch.start()

    def stop(self):
        """Stops it; gives what is measured of the whole time."""
        metrics = metrics_of(self.target)
        used = cpu_seconds(self.process.pid)
        self.watch.over.set()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=120) != 0:
            sys.exit(f"the collector did not end well: see {self.folder}/log")
        self.log.close()
        resident = self.watch.resident
        return {
            "acknowledged": int(metrics["ashiato_collector_events_total"]),
            "cpu_s": round(used, 2),
            "resident_mib": resident,
            "peak_mib": max(resident, default=0.0),
            "batch_under_ms": over(metrics, "ashiato_collector_batch_seconds"),
            "stop_s": round(time.monotonic() - began, 2),
        }


def lines_in(folder):
    """Lines and distinct events of all objects below a folder."""
    lines, ids = 0, set()
    for path in folder.rglob("*.ndjson.zst"):
        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as text:
            rest = b""
            while chunk := text.read(1 << 20):
                *whole, rest = (rest + chunk).split(b"\n")
                lines += len(whole)
                ids.update(line[13:49] for line in whole)
    return lines, len(ids)


def trial(name, rate, seconds, events=1, landed=None, visitors=20_000, **collector):
    """One trial, whole: traffic, its answers, what landed of it."""
    running = Collector(name, **collector)
    try:
        answered, generator_s = send(running.target, rate, seconds, events, visitors=visitors)
        seen = running.stop()
    finally:
        running.process.kill()
    lines, ids = (landed or (lambda: lines_in(running.landed)))()
    if not seen["acknowledged"] == lines == ids:
        sys.exit(f"{name}: acknowledged {seen['acknowledged']}, landed {lines}, distinct {ids}")
    shutil.rmtree(running.folder)
    one = {"name": name, "rate": rate, "events": events, "seconds": seconds}
    one |= {"answered": answered, "generator_cpu_s": generator_s, "landed": lines, **seen}
    tell(one)
    return one


def tell(one):
    latency = one["answered"]["latency_ms"]
    percentiles = "  ".join(f"{p} {ms:.1f}" for p, ms in latency.items())
    rate = one["answered"]["answered_rate"]
    print(f"{one['name']}: {rate:,.0f}/s of {one['rate']:,}/s: {percentiles} ms", flush=True)


def kept(one):
    """Whether all was answered well, at the rate, within the time."""
    answered = one["answered"]
    good = set(answered["statuses"]) <= {"204"} and answered["broken"] == 0
    return good and answered["latency_ms"]["p99"] < P99_MAX_MS


def ladder(name, rates, seconds, **how):
    """Trials at growing rates until one is too much."""
    steps = []
    for rate in rates:
        steps.append(trial(name, rate, seconds, **how))
        if not kept(steps[-1]):
            break
    return steps


def with_slow_store(name, rate, seconds):
    with servers.slow_store(WORK, delay_s=0.2) as store:
        landing = 'object_age_max = "5s"'
        return trial(
            name, rate, seconds, landed=store.lines, location="s3://lake/raw", landing=landing
        )


def with_redis(name, rates, seconds):
    with servers.redis(WORK) as port:
        store = f'[visit_store]\nkind = "redis"\nurl = "redis://127.0.0.1:{port}/0"'
        return ladder(name, rates, seconds, store=store)


def aim(rate, seconds, times):
    """The aim's rate several times, with nginx at the same rate before each."""
    steps = []
    for _ in range(times):
        steps += nginx_steps([rate], max(seconds // 4, 5), "nginx_aim")
        steps.append(trial("aim", rate, seconds))
    return steps


def nginx_steps(rates, seconds, name="nginx"):
    """nginx answering 204 with a line in its access log: what the machine could give."""
    steps = []
    for rate in rates:
        with servers.nginx(WORK) as (target, pids):
            answered, generator_s = send(target, rate, seconds)
            used = sum(cpu_seconds(pid) for pid in pids())
        one = {"name": name, "rate": rate, "events": 1, "seconds": seconds}
        one |= {"answered": answered, "generator_cpu_s": generator_s, "cpu_s": round(used, 2)}
        tell(one)
        steps.append(one)
        if not kept(one):
            break
    return steps


def cross_check(rate, seconds):
    """The same rate by oha, a generator that is not ours: visitors without cookies."""
    oha = shutil.which("oha")
    if not oha:
        print("oha is not installed: no cross-check")
        return []
    running = Collector("oha")
    event = '{"v":2,"event":"page_view","service":"books","page":{"url":"https://a.example/"}}'
    command = [oha, "--no-tui", "--output-format", "json", "-z", f"{seconds}s", "-q", str(rate)]
    command += ["-c", "200", "--latency-correction", "-m", "POST", "-d", event]
    command += ["-T", "text/plain", f"http://{running.target}/v1/events"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seen = running.stop()
    finally:
        running.process.kill()
    lines, _ = lines_in(running.landed)
    measured = json.loads(done.stdout)
    percentiles = measured["latencyPercentiles"]
    latency = {p: round(percentiles[p] * 1000, 3) for p in ("p50", "p90", "p99", "p99.9")}
    latency["max"] = round(measured["summary"]["slowest"] * 1000, 3)
    answered = {
        "answered_rate": measured["summary"]["requestsPerSec"],
        "statuses": measured["statusCodeDistribution"],
        "broken": 0,
        "latency_ms": latency,
    }
    one = {"name": "oha", "rate": rate, "events": 1, "seconds": seconds, "answered": answered}
    one |= {"landed": lines, **seen}
    tell(one)
    return [one]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of the trial at the aim's rate")
    parser.add_argument("--times", type=int, default=3, help="of the trial at the aim's rate")
    parser.add_argument("--step", type=int, default=15, help="seconds of each step of a ladder")
    parser.add_argument("--soak", type=int, default=600, help="seconds of the trial of memory")
    parser.add_argument("--rate", type=int, default=20_000, help="the aim: requests a second")
    parser.add_argument("--only", nargs="*", help="names of trials")
    parser.add_argument("--out", type=Path, default=None)
    return parser.parse_args()


def main():
    args = arguments()
    rate, step = args.rate, args.step
    trials = {
        "aim": lambda: aim(rate, args.seconds, args.times),
        "ladder": lambda: ladder("ladder", LADDER, step),
        "nginx": lambda: nginx_steps(LADDER, step),
        "ten": lambda: ladder("ten", LADDER_OF_TEN, step, events=10),
        "redis": lambda: with_redis("redis", LADDER_OF_REDIS, step),
        "slow_store": lambda: [with_slow_store("slow_store", rate, args.seconds)],
        "oha": lambda: cross_check(rate, step),
        "soak": lambda: [trial("soak", rate // 2, args.soak)],
    }
    measured = {}
    for name, run in trials.items():
        if not args.only or name in args.only:
            measured[name] = run()
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    out = args.out or ROOT / "benches" / "results" / today
    tables.write(out, measured, P99_MAX_MS, P999_MAX_MS)
    print(f"written: {out}/collector.md")


if __name__ == "__main__":
    main()
