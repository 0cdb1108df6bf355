#!/usr/bin/env python3
"""Plays a visit to the demo shop in a real browser, and writes down every event that it made.

    drive.py --collector http://127.0.0.1:8080 --out made.json [--scenario NAME] [--port 8000]
        [--screenshots DIR]

Serves fixtures/tracker on a loopback port of its own and steers headless Chromium through pipes
(the DevTools protocol needs no package that way). The collector must allow the shop's origin:
`--port` fixes it. All pages have another cookie, in raw UTF-8, as `document.cookie` makes it.

The scenario `visit`:

    a  arrives by an advertisement, looks at an item and puts it into the cart
    b  searches in a second tab, puts another item into the cart, and closes the tab in mid-flight
    c  loses the network, goes on, and gets it back
    d  takes an item out of the cart and buys the rest
    e  puts two items into the cart, clicks 45 times, and closes the tab before any answer can come;
       comes back

`consent`: the collector allows the shop at 127.0.0.1 and no other origin.

    a  arrives by an advertisement, and puts an item into the cart
    b  a page of another site loads the tracker, and leads to the pixel
    c  buys; then the page hands over what makes no sense
    d  refuses, and goes on
    e  consents again

`blocked`: the shop is at localhost and the collector at 127.0.0.1, which browsers call two sites: no
cookie is kept.

    a  looks at three pages

FILE gets `events`, each with the `step` that made it, its id, name, skus and its whole body, to be
compared with what the collector stored: each exactly once. Beside them `requests` (what went to the
collector, how often, and what it said), `beacons` (the events of each), `left` (events that waited
when the visitor came back) and `cookies`.

Exit: 0 if all was played and the collector confirmed all, 1 if not, with the reason.
"""

import argparse
import base64
import fcntl
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

SHOP = Path(__file__).parents[2] / "fixtures" / "tracker"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,760",
    "--accept-lang=ja-JP",
    "--remote-debugging-pipe",
]
# Tells of each event as the tracker queues it, of beacons, and of what a page finds in the queue.
SPY = """
(() => {
  const say = (what, text) => window.driveSays(JSON.stringify([what, text]));
  try {
    document.cookie = "name=山田太郎; path=/";
    const left = Object.keys(localStorage).filter((key) => key.startsWith("ashiato:"));
    say("left", left.map((key) => localStorage[key]));
  } catch (denied) {
    return;
  }
  const { setItem } = Storage.prototype;
  Storage.prototype.setItem = function (key, value) {
    if (key.startsWith("ashiato:")) say("event", value);
    return setItem.call(this, key, value);
  };
  const sendBeacon = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, body) => {
    const isTaken = sendBeacon(url, body);
    say("beacon", [body, isTaken]);
    return isTaken;
  };
})();
"""
SIGHT = "ashiato('click', { target: { sku: '32', position: at } })"
# What pages hand over that makes no sense: none of it may throw.
ODDITIES = """
(() => {
  const circle = {}, thrower = () => { throw new Error("of the page"); };
  circle.circle = circle;
  const hostile = new Proxy({}, { get: thrower, ownKeys: thrower });
  for (const details of [null, 17, "x", circle, hostile, { cart: hostile }, { toJSON: thrower }])
    ashiato("odd", details);
  for (const cart of [{}, null, "x", { items: null }, { items: {} }, { items: [null, { price: 1n }] }])
    ashiato("odd", { cart });
  for (const event of [undefined, null, {}, Symbol("s"), hostile]) ashiato(event);
  document.dispatchEvent(new MouseEvent("click"));
  return true;
})()
"""
QUEUE_LENGTH = "Object.keys(localStorage).filter((key) => key.startsWith('ashiato:')).length"


class DriveError(Exception):
    """The visit cannot go on."""


class Devtools:
    """The browser, and the protocol that steers it."""

    def __init__(self, profile, timeout):
        self.timeout = timeout
        self.replies = {}
        self.count = 0
        self.lock = threading.Lock()
        self.on_event = lambda session, method, params: None
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        if program is None:
            raise DriveError(f"no browser is installed; looked for {', '.join(BROWSERS)}")
        self.log = open(Path(profile) / "browser.log", "w+b")
        # The browser expects its ends at 3 and 4. Moved out of their way, and the old ones kept
        # until it runs, so that nothing else is put there meanwhile.
        old = [*os.pipe(), *os.pipe()]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in old]
        read_end, write_end = ends[0], ends[3]
        self.to_browser, self.from_browser = os.fdopen(ends[1], "wb"), ends[2]

        def connect():
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        # Before the first thread of this program is made: a fork takes along only one.
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=connect,
            pass_fds=(3, 4),
            start_new_session=True,
        )
        for end in (*old, read_end, write_end):
            os.close(end)

    def listen(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        buffer = b""
        while chunk := os.read(self.from_browser, 1 << 16):
            *messages, buffer = (buffer + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.replies[message["id"]].put(message)
                else:
                    session = message.get("sessionId")
                    self.on_event(session, message["method"], message.get("params", {}))
        for reply in list(self.replies.values()):
            reply.put({"error": {"message": "the browser is gone"}})

    def call(self, method, session=None, **params):
        reply = queue.Queue()
        with self.lock:
            self.count += 1
            number = self.count
            self.replies[number] = reply
            message = {"id": number, "method": method, "params": params}
            if session is not None:
                message["sessionId"] = session
            try:
                self.to_browser.write(json.dumps(message).encode() + b"\0")
                self.to_browser.flush()
            except OSError as error:
                raise DriveError(f"{method}: the browser is gone{self._last_words()}") from error
        try:
            message = reply.get(timeout=self.timeout)
        except queue.Empty:
            raise DriveError(f"{method}: no reply in {self.timeout} s") from None
        finally:
            self.replies.pop(number, None)
        if "error" in message:
            raise DriveError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _last_words(self):
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in lines[-8:])

    def stop(self):
        try:
            self.call("Browser.close")
            self.process.wait(timeout=10)
        except (DriveError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Record:
    """What the browser told while the visit went on."""

    def __init__(self, collector):
        self.collector = collector
        self.step = None
        self.events, self.beacons, self.left = {}, [], []
        self.requests = {}

    def hear(self, session, method, params):
        if method == "Runtime.bindingCalled":
            self._hear_spy(*json.loads(params["payload"]))
        elif method.startswith("Network.") and "requestId" in params:
            told = self.requests.setdefault((session, params["requestId"]), {})
            self._hear_network(told, method.partition(".")[2], params)

    def _hear_spy(self, what, told):
        if what == "event":
            body = json.loads(told)
            items = (body.get("cart") or {}).get("items") if body.get("event") != "odd" else []
            skus = [item["sku"] for item in items or []]
            skus += [body["target"]["sku"]] if "target" in body else []
            event = {"step": self.step, "event_id": body["event_id"], "event": body.get("event")}
            self.events[body["event_id"]] = {**event, "skus": skus, "body": body}
        elif what == "beacon":
            self.beacons.append({"step": self.step, "event_ids": ids(told[0]), "taken": told[1]})
        elif what == "left" and told:
            self.left.append({"step": self.step, "event_ids": ids(*told)})

    def _hear_network(self, told, method, params):
        if method == "requestWillBeSent":
            request = params["request"]
            told.update(step=self.step, method=request["method"], url=request["url"])
            told.update(type=params.get("type"))
            if "postData" in request:
                told["event_ids"] = ids(request["postData"])
        elif method == "requestWillBeSentExtraInfo":
            told["headers"] = params["headers"]
        elif method == "responseReceivedExtraInfo":
            told.update(status=params["statusCode"], answer=params["headers"])
        elif method == "loadingFailed" and "status" not in told:
            told["failed"] = params.get("blockedReason") or params["errorText"]
            if "corsErrorStatus" in params:
                told["failed"] = f"CORS: {params['corsErrorStatus']['corsError']}"

    def to_collector(self):
        told = list(self.requests.values())
        return [one for one in told if one.get("url", "").startswith(self.collector)]


def ids(*bodies):
    """The ids of the events of bodies, each an event or an array of them."""
    values = [json.loads(body) for body in bodies]
    events = [event for value in values for event in (value if type(value) is list else [value])]
    return [event["event_id"] for event in events]


class Tab:
    """A tab, with the spy in each of its pages."""

    def __init__(self, devtools, record, screenshots):
        self.devtools, self.record, self.screenshots = devtools, record, screenshots
        target = devtools.call("Target.createTarget", url="about:blank")
        self.target = target["targetId"]
        attached = devtools.call("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call("Runtime.addBinding", name="driveSays")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=SPY)

    def call(self, method, **params):
        return self.devtools.call(method, self.session, **params)

    def evaluate(self, code):
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            raise DriveError(f"{code}: {text}")
        return result["result"].get("value")

    def wait(self, code, what):
        """Waits until an expression is true; on the way from page to page there may be none."""
        end = time.monotonic() + self.devtools.timeout
        why = ""
        while time.monotonic() < end:
            try:
                if self.evaluate(code):
                    return
            except DriveError as error:
                why = f" ({error})"
            time.sleep(0.02)
        seconds = self.devtools.timeout
        tail = "".join(f"\n  {describe(one)}" for one in self.record.to_collector()[-6:])
        raise DriveError(f"{what}: not within {seconds} s{why}; last requests:{tail or ' none'}")

    def wait_page(self, name):
        ready = "document.documentElement.dataset.ready === 'yes'"
        self.wait(f"location.pathname.endsWith('/{name}') && {ready}", f"{name} is ready")
        if self.screenshots:
            data = self.call("Page.captureScreenshot", format="png")["data"]
            number = len(list(self.screenshots.iterdir())) + 1
            picture = self.screenshots / f"{number:02}-{self.record.step}-{name}.png"
            picture.write_bytes(base64.b64decode(data))

    def wait_confirmed(self):
        self.wait(f"{QUEUE_LENGTH} === 0", "the collector has confirmed all events")

    def go(self, url, name):
        self.call("Page.navigate", url=url)
        self.wait_page(name)

    def click(self, selector):
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def look_at(self, sku):
        self.click(f'[data-sku="{sku}"]')
        self.wait_page("item.html")

    def network(self, **conditions):
        usual = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", **{**usual, **conditions})

    def close(self):
        self.devtools.call("Target.closeTarget", targetId=self.target)


def describe(request):
    outcome = request.get("status") or request.get("failed") or "no answer"
    return f"{request.get('step')}: {request['method']} {request['url']}: {outcome}"


def our_cookies(devtools):
    cookies = devtools.call("Storage.getCookies")["cookies"]
    return {one["name"]: one["value"] for one in cookies if one["name"].startswith("ashiato_")}


def wait_cookies(devtools, are_there):
    end = time.monotonic() + devtools.timeout
    while bool(our_cookies(devtools)) != are_there:
        if time.monotonic() > end:
            raise DriveError(f"cookies: expected {are_there}, found {our_cookies(devtools)}")
        time.sleep(0.05)
    return our_cookies(devtools)


def play_consent(devtools, record, shop, open_tab):
    collector = f"collector={quote(record.collector, safe='')}"
    record.step = "a"
    tab = open_tab()
    tab.go(f"{shop}/item.html?sku=7&{collector}&utm_medium=ad", "item.html")
    tab.click("#add")
    tab.wait_confirmed()
    before = wait_cookies(devtools, True)

    record.step = "b"
    other = open_tab()
    elsewhere = shop.replace("127.0.0.1", "localhost")
    other.go(f"{elsewhere}/index.html?{collector}&utm_medium=evil", "index.html")
    pixel = f"{record.collector}/v1/pixel.gif?event=page_view&service=shop&via=evil"
    other.evaluate(f"location.href = {json.dumps(pixel)}")
    other.wait("location.pathname === '/v1/pixel.gif'", "the pixel is there")
    if int(other.evaluate("document.images.length")) != 1:
        raise DriveError("the pixel is no picture")

    record.step = "c"
    tab.click('header a[href="cart.html"]')
    tab.wait_page("cart.html")
    tab.click("#buy")
    tab.wait_page("thanks.html")
    tab.wait_confirmed()
    tab.evaluate(ODDITIES)
    tab.wait_confirmed()

    record.step = "d"
    tab.evaluate("ashiato.consent(false)")
    wait_cookies(devtools, False)
    tab.go(f"{shop}/index.html", "index.html")
    tab.wait_confirmed()
    if our_cookies(devtools):
        raise DriveError("there are cookies, though there is no consent")

    record.step = "e"
    tab.evaluate("ashiato.consent(true)")
    tab.look_at("12")
    tab.wait_confirmed()
    after = wait_cookies(devtools, True)
    if before["ashiato_long"].split(".")[0] == after["ashiato_long"].split(".")[0]:
        raise DriveError("whoever consents again is the same visitor")
    return devtools.call("Storage.getCookies")["cookies"]


def play_blocked(devtools, record, shop, open_tab):
    collector = f"collector={quote(record.collector, safe='')}"
    record.step = "a"
    tab = open_tab()
    tab.go(f"{shop.replace('127.0.0.1', 'localhost')}/index.html?{collector}", "index.html")
    tab.wait_confirmed()
    for sku in ["7", "12"]:
        tab.look_at(sku)
        tab.wait_confirmed()
        tab.click('header a[href="index.html"]')
        tab.wait_page("index.html")
        tab.wait_confirmed()
    if our_cookies(devtools):
        raise DriveError("cookies of another site were kept; this tells nothing")
    return []


def play(devtools, record, shop, open_tab):
    record.step = "a"
    first = open_tab()
    collector = f"collector={quote(record.collector, safe='')}"
    first.go(f"{shop}/index.html?{collector}&utm_medium=ad&utm_campaign=autumn", "index.html")
    first.look_at("7")
    first.click("#add")
    first.wait_confirmed()

    record.step = "b"
    second = open_tab()
    second.go(f"{shop}/index.html?q={quote('足袋')}", "index.html")
    second.look_at("12")
    second.click("#add")
    second.close()

    record.step = "c"
    first.network(offline=True)
    made_before = len(record.events)
    first.click("#add")
    first.click("#add")
    # Long enough for a try that fails.
    time.sleep(0.5)
    if len(record.events) != made_before + 2 or first.evaluate(QUEUE_LENGTH) < 2:
        raise DriveError("events made without a network did not wait in the queue")
    first.network(offline=False)
    first.wait_confirmed()

    record.step = "d"
    first.click('header a[href="cart.html"]')
    first.wait_page("cart.html")
    first.click('[data-remove="12"]')
    first.click("#buy")
    first.wait_page("thanks.html")
    first.wait_confirmed()

    record.step = "e"
    first.go(f"{shop}/index.html", "index.html")
    first.look_at("32")
    first.wait_confirmed()
    # No answer comes while the tab lives: the first event is under way, the second has to wait.
    first.network(latency=5000)
    first.click("#add")
    time.sleep(0.3)
    first.click("#add")
    first.evaluate("for (let at = 1; at <= 45; at++) " + SIGHT)
    first.close()
    returning = open_tab()
    returning.go(f"{shop}/cart.html", "cart.html")
    returning.wait_confirmed()
    if not any(left["step"] == "e" for left in record.left):
        raise DriveError("nothing was left to be sent again, though no answer can have come")
    return devtools.call("Storage.getCookies")["cookies"]


SCENARIOS = {"visit": play, "consent": play_consent, "blocked": play_blocked}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve_shop(port):
    handler = partial(QuietHandler, directory=str(SHOP))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def check_collector(url):
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DriveError(f"--collector: expected a URL such as http://127.0.0.1:8080, found {url}")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=5).close()
    except OSError as error:
        raise DriveError(f"no collector answers at {url}: {error}") from error


def drive(options):
    collector = options.collector.rstrip("/")
    check_collector(collector)
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        devtools = Devtools(profile, options.timeout)
        try:
            record = Record(collector)
            devtools.on_event = record.hear
            devtools.listen()
            shop = serve_shop(options.port)

            def open_tab():
                return Tab(devtools, record, options.screenshots)

            cookies = SCENARIOS[options.scenario](devtools, record, shop, open_tab)
        finally:
            devtools.stop()
    return {
        "shop": shop,
        "events": list(record.events.values()),
        "requests": record.to_collector(),
        "beacons": record.beacons,
        "left": record.left,
        "cookies": cookies,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collector", required=True, help="URL, as http://127.0.0.1:8080")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    parser.add_argument("--scenario", choices=SCENARIOS, default="visit", help="what is played")
    parser.add_argument("--port", type=int, default=0, help="of the shop; any free one if absent")
    parser.add_argument("--screenshots", type=Path, help="a folder for a picture of each page")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for each wait")
    options = parser.parse_args()
    try:
        played = drive(options)
        options.out.write_text(json.dumps(played, ensure_ascii=False, indent=1) + "\n")
    except (DriveError, OSError) as error:
        sys.exit(f"drive.py: {error}")
    print(f"{len(played['events'])} events in {len(played['requests'])} requests")


if __name__ == "__main__":
    main()
