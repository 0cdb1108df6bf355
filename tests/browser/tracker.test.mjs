// The tracker's queue in a browser that is made up: `node --test tests/browser/tracker.test.mjs`.
// Storage, locks and network are shared by tabs as real ones are; timers wait until told to run.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { gzipSync } from "node:zlib";

const source = new URL("../../fixtures/tracker/tracker.js", import.meta.url);
const code = new vm.Script(readFileSync(source, "utf8"), { filename: "tracker.js" });

/** What localStorage is to scripts: the keys are members, the methods are not. */
class Storage {
  getItem(key) {
    return Object.hasOwn(this, key) ? this[key] : null;
  }
  setItem(key, value) {
    if (Storage.isFull) throw new Error("QuotaExceededError");
    this[key] = String(value);
  }
  removeItem(key) {
    delete this[key];
  }
}

/** Locks of all tabs: one holder of a name, the others wait in their order. */
class Locks {
  #last = Promise.resolve();
  request(_name, action) {
    const mine = this.#last.then(() => action({}));
    this.#last = mine.catch(() => {});
    return mine;
  }
}

const answer = (status, body, headers = {}) => ({
  status,
  headers: new Headers(headers),
  json: async () => JSON.parse(body),
});

/** What the collector answers to bodies of events: here, that it took them. */
const taking = () => answer(204);

/** As it answers a browser whose cookies come back. */
const keeping = () => answer(204, "", { "ashiato-visit-cookie": "kept" });

class Browser {
  storage = new Storage();
  locks = new Locks();
  requests = [];
  beacons = [];
  collector = taking;
  underWay = 0;
  underWayMost = 0;

  /** A tab that has loaded the tracker. */
  open({
    url = "http://shop.example/",
    hasStorage = true,
    hasBeacon = true,
    hasUuid = true,
    script = { dataset: { service: "shop", collector: "http://collector.example" } },
  } = {}) {
    const timers = [];
    const listeners = {};
    const listen = (name, listener) => (listeners[name] ||= []).push(listener);
    const document = {
      currentScript: script,
      title: "店",
      referrer: "",
      visibilityState: "visible",
      addEventListener: listen,
    };
    const navigator = { language: "ja", locks: this.locks };
    if (hasBeacon) {
      navigator.sendBeacon = (to, body) => {
        this.beacons.push({ url: to, events: [JSON.parse(body)].flat(), bytes: body.length });
        return hasBeacon === true;
      };
    }
    const window = {
      document,
      navigator,
      location: new URL(url),
      screen: { width: 390, height: 844 },
      crypto: hasUuid ? crypto : { getRandomValues: (array) => crypto.getRandomValues(array) },
      addEventListener: listen,
      setTimeout: (action, ms) => timers.push({ action, ms }),
      clearTimeout: () => (timers.length = 0),
      fetch: (to, request) => this.fetch(to, request),
      Blob,
      URLSearchParams,
      AbortSignal,
    };
    const getStorage = () => {
      if (!hasStorage) throw new Error("SecurityError");
      return this.storage;
    };
    Object.defineProperty(window, "localStorage", { get: getStorage });
    window.window = window;
    code.runInContext(vm.createContext(window));
    const fire = (name, event) => (listeners[name] || []).forEach((listener) => listener(event));
    const hide = () => {
      document.visibilityState = "hidden";
      fire("visibilitychange");
      fire("pagehide");
    };
    return { ashiato: window.ashiato, window, timers, fire, hide };
  }

  async fetch(url, request) {
    const events = [JSON.parse(request.body)].flat();
    this.requests.push({ url, events, ...request });
    this.underWayMost = Math.max(this.underWayMost, ++this.underWay);
    try {
      return await this.collector(events);
    } finally {
      this.underWay--;
    }
  }

  get queue() {
    return Object.keys(this.storage).filter((key) => key.startsWith("ashiato:"));
  }

  get sentIds() {
    return this.requests.flatMap(({ events }) => events.map((event) => event.event_id));
  }
}

/** The end of a request's address, without a newcomer's name. */
const end = (url) => url.split("/").at(-1).replace(/\?first=[0-9a-f-]{36}$/, "");

/** Lets all promises that can go on go on. */
const settle = async () => {
  for (let round = 0; round < 50; round++) await new Promise(setImmediate);
};

const runTimers = async (tab) => {
  const due = tab.timers.splice(0);
  due.forEach(({ action }) => action());
  await settle();
  return due.map(({ ms }) => ms);
};

test("an event says what happened, where, on what, and by what way", async () => {
  const browser = new Browser();
  const url = "http://shop.example/?utm_medium=ad&utm_campaign=%E7%A7%8B";
  const items = [{ sku: "7", name: "足袋", category: "standard", price: 300, quantity: 2 }];
  const { ashiato } = browser.open({ url });
  const id = ashiato("purchase", { order: { id: "O1", payment: "card" }, cart: { items } });
  await settle();
  const [{ events, ...request }] = browser.requests;
  const { time, ...event } = events[0];
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(event, {
    v: 2,
    event_id: id,
    service: "shop",
    event: "purchase",
    page: { url, title: "店", referrer: null },
    device: { screen: "390x844", language: "ja" },
    via: { channel: "ad", campaign: "秋" },
    order: { id: "O1", payment: "card" },
    cart: { items: [{ ...items[0], amount: 600 }] },
  });
  assert.match(request.url, /^http:\/\/collector\.example\/v1\/events\?first=[0-9a-f-]{36}$/);
  assert.equal(request.method, "POST");
  assert.equal(request.credentials, "include");
  assert.equal(request.keepalive, true);
  assert.equal(request.headers, undefined, "a header would have the browser ask first");
});

test("`via` is a way too, and without one there is none", async () => {
  const browser = new Browser();
  browser.open({ url: "http://shop.example/?via=mail" }).ashiato("page_view");
  await settle();
  browser.open().ashiato("page_view");
  await settle();
  const ways = browser.requests.flatMap(({ events }) => events.map((event) => event.via));
  assert.deepEqual(ways, [{ channel: "mail" }, undefined]);
});

test("a click on what has a sku is an event, any other is none", async () => {
  const browser = new Browser();
  const tab = browser.open();
  const card = { dataset: { sku: "7", position: "3" } };
  tab.fire("click", { target: { closest: () => card } });
  tab.fire("click", { target: { closest: () => null } });
  await settle();
  const targets = browser.requests.flatMap(({ events }) => events.map((event) => event.target));
  assert.deepEqual(targets, [{ sku: "7", position: 3 }]);
});

test("ids are UUIDs of version 4 where there is no secure context", () => {
  const tab = new Browser().open({ hasUuid: false });
  const ids = Array.from({ length: 50 }, () => tab.ashiato("page_view"));
  assert.equal(new Set(ids).size, 50);
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  ids.forEach((id) => assert.match(id, form));
});

test("one request at a time, of at most 20 events, each once, in their order", async () => {
  const browser = new Browser();
  const tab = browser.open();
  const ids = [];
  for (let round = 0; round < 5; round++) {
    for (let at = 0; at < 45; at++) ids.push(tab.ashiato("page_view"));
    await new Promise(setImmediate);
  }
  await settle();
  assert.deepEqual(browser.sentIds, ids);
  assert.equal(browser.underWayMost, 1);
  assert.equal(Math.max(...browser.requests.map(({ events }) => events.length)), 20);
  assert.deepEqual(browser.queue, []);
});

test("one event is an object, several are an array", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  browser.collector = taking;
  tab.ashiato("page_view");
  await runTimers(tab);
  assert.deepEqual(browser.requests.map(({ body }) => body[0]), ["{", "["]);
});

for (const status of [204, 400, 413, 415]) {
  test(`an event leaves the queue at ${status}`, async () => {
    const browser = new Browser();
    browser.collector = () => answer(status);
    const tab = browser.open();
    tab.ashiato("page_view");
    assert.equal(browser.queue.length, 1);
    await settle();
    assert.deepEqual(browser.queue, []);
    assert.deepEqual(tab.timers, []);
  });
}

for (const status of [400, 413, 415]) {
  test(`of events that are refused together with ${status} each gets a chance of its own`, async () => {
    const browser = new Browser();
    browser.collector = () => answer(503);
    const tab = browser.open();
    const ids = [1, 2, 3].map(() => tab.ashiato("page_view"));
    await settle();
    const isBad = (events) => events.some((event) => event.event_id === ids[1]);
    browser.collector = (events) => answer(isBad(events) ? status : 204);
    browser.requests = [];
    await runTimers(tab);
    assert.deepEqual(browser.requests.map(({ events }) => events.length), [3, 1, 1, 1]);
    assert.deepEqual(browser.sentIds.slice(3), ids);
    assert.deepEqual([browser.queue, tab.timers], [[], []]);
    // And then they go together again.
    browser.collector = () => answer(503);
    [1, 2].forEach(() => tab.ashiato("page_view"));
    await settle();
    browser.collector = taking;
    browser.requests = [];
    await runTimers(tab);
    assert.deepEqual(browser.requests.map(({ events }) => events.length), [2]);
  });
}

test("other values of the site are none of the queue's, and a damaged one takes no others along", async () => {
  const browser = new Browser();
  const others = { "ashiato:settings": "dark", "ashiato:": "{}", "ashiato:1": "x", "ashiato:a.b.c": "[" };
  Object.assign(browser.storage, others);
  browser.collector = () => answer(503);
  const tab = browser.open();
  const ids = Array.from({ length: 11 }, () => tab.ashiato("page_view"));
  await settle();
  const key = Object.keys(browser.storage).find((key) => (browser.storage[key] || "").includes(ids[5]));
  browser.storage[key] = '{"event_id":"';
  browser.collector = taking;
  browser.requests = [];
  await runTimers(tab);
  assert.deepEqual(browser.sentIds, ids.toSpliced(5, 1));
  const left = Object.entries(browser.storage).filter(([name]) => name.startsWith("ashiato:"));
  assert.deepEqual(Object.fromEntries(left), others);
});

test("at 202 those leave that have a result, be they accepted or refused", async () => {
  const browser = new Browser();
  const statuses = ["accepted", "refused"];
  browser.collector = (events) => {
    const results = events.slice(0, 2).map((_, at) => ({ status: statuses[at] }));
    return answer(202, JSON.stringify({ results }));
  };
  const tab = browser.open();
  const ids = [1, 2, 3].map(() => tab.ashiato("page_view"));
  await settle();
  assert.deepEqual(browser.sentIds, [...ids, ids[2]]);
  assert.deepEqual(browser.queue, []);
});

test("a 202 that says nothing of events, or is cut off, keeps them", async () => {
  for (const body of ['{"results":[]}', '{"resu', "{}"]) {
    const browser = new Browser();
    browser.collector = () => answer(202, body);
    const tab = browser.open();
    tab.ashiato("page_view");
    await settle();
    assert.equal(browser.queue.length, 1, body);
    assert.equal(tab.timers.length, 1, body);
  }
});

test("without a network events stay; retries come later and later, up to a minute", async () => {
  const browser = new Browser();
  browser.collector = () => Promise.reject(new TypeError("Failed to fetch"));
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
    const [ms] = await runTimers(tab);
    assert.ok(ms > seconds * 500 && ms <= seconds * 1000, `${ms} ms of ${seconds} s`);
  }
  tab.ashiato("click");
  await settle();
  assert.equal(browser.requests.length, 9, "a new event does not cut the wait short");
  browser.collector = taking;
  tab.fire("online");
  await settle();
  assert.equal(browser.requests.at(-1).events.length, 2);
  assert.deepEqual(browser.queue, []);
  browser.collector = () => answer(500);
  tab.ashiato("page_view");
  await settle();
  assert.ok(tab.timers[0].ms <= 1000, "a success begins anew");
});

for (const status of [401, 404, 429, 500, 503]) {
  test(`at ${status} events stay as long as Retry-After says`, async () => {
    const browser = new Browser();
    browser.collector = () => answer(status, "", { "retry-after": "7" });
    const tab = browser.open();
    tab.ashiato("page_view");
    await settle();
    assert.equal(browser.queue.length, 1);
    tab.fire("online");
    await settle();
    assert.equal(browser.requests.length, 1, "the collector knows better than the network");
    browser.collector = taking;
    const [ms] = await runTimers(tab);
    assert.ok(ms > 7000 && ms <= 8000, `${ms} ms`);
    assert.deepEqual(browser.queue, []);
  });
}

test("an absurd Retry-After does not overflow the timer", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503, "", { "retry-after": "99999999999" });
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  assert.ok(tab.timers[0].ms < 2 ** 31);
});

test("what a page could not send, the next one sends", async () => {
  const browser = new Browser();
  browser.collector = () => Promise.reject(new TypeError("Failed to fetch"));
  const id = browser.open().ashiato("page_view");
  await settle();
  browser.collector = taking;
  browser.open();
  await settle();
  assert.equal(browser.sentIds.at(-1), id);
  assert.deepEqual(browser.queue, []);
});

test("two tabs lose nothing, send nothing twice, and one request at a time", async () => {
  const browser = new Browser();
  let isDown = false;
  browser.collector = async (events) => {
    await new Promise(setImmediate);
    return isDown ? answer(503) : taking(events);
  };
  const tabs = [browser.open(), browser.open()];
  const ids = [];
  for (let round = 0; round < 20; round++) {
    for (const tab of tabs) ids.push(tab.ashiato("page_view"));
    await new Promise(setImmediate);
  }
  await settle();
  assert.deepEqual(browser.sentIds.toSorted(), ids.toSorted());
  assert.equal(browser.underWayMost, 1);

  isDown = true;
  const later = tabs.map((tab) => tab.ashiato("click"));
  await settle();
  assert.equal(browser.queue.length, 2);
  isDown = false;
  await runTimers(tabs[0]);
  assert.deepEqual(browser.queue, [], "one tab sends what the other made");
  await runTimers(tabs[1]);
  // Of tabs within the same millisecond either may be first.
  const last = browser.requests.at(-1).events.map((event) => event.event_id);
  assert.deepEqual(last.toSorted(), later.toSorted());
});

test("a browser without locks, or that denies them, sends all the same", async () => {
  const denying = { request: () => Promise.reject(new Error("SecurityError")) };
  for (const locks of [undefined, denying]) {
    const browser = new Browser();
    browser.locks = locks;
    const id = browser.open().ashiato("page_view");
    await settle();
    assert.deepEqual(browser.sentIds, [id]);
  }
});

test("of more than 200 events the oldest go", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  const ids = Array.from({ length: 230 }, () => tab.ashiato("page_view"));
  assert.equal(browser.queue.length, 200);
  const kept = browser.queue.map((key) => JSON.parse(browser.storage[key]).event_id);
  assert.deepEqual(kept.toSorted(), ids.slice(30).toSorted());
});

test("of more than 256 kB the oldest go, and what is too long for any request is not taken", () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  const ids = Array.from({ length: 8 }, () => tab.ashiato("x", { note: "足".repeat(15e3) }));
  const kept = browser.queue.map((key) => JSON.parse(browser.storage[key]).event_id);
  assert.deepEqual(kept.toSorted(), ids.slice(3).toSorted());
  assert.equal(tab.ashiato("x", { note: "足".repeat(2e4) }), undefined);
  assert.equal(browser.queue.length, 5);
});

test("a request has at most 60 kB", async () => {
  const browser = new Browser();
  const tab = browser.open();
  const ids = Array.from({ length: 9 }, () => tab.ashiato("x", { note: "足".repeat(4e3) }));
  await settle();
  assert.deepEqual(browser.sentIds, ids);
  browser.requests.forEach(({ body }) => assert.ok(Buffer.byteLength(body) <= 6e4));
});

for (const hasStorage of [true, false]) {
  const what = hasStorage ? "a full disk" : "a private mode without storage";
  test(`${what} has events wait in memory`, async (t) => {
    t.after(() => (Storage.isFull = false));
    Storage.isFull = true;
    const browser = new Browser();
    browser.collector = () => answer(503);
    const tab = browser.open({ hasStorage });
    const ids = Array.from({ length: 3 }, () => tab.ashiato("page_view"));
    await settle();
    assert.deepEqual(browser.queue, []);
    browser.collector = taking;
    await runTimers(tab);
    assert.deepEqual(browser.requests.at(-1).events.map((event) => event.event_id), ids);
    tab.ashiato("page_view");
    tab.hide();
    assert.equal(browser.beacons.flatMap(({ events }) => events).length, 1);
  });
}

test("what waits in memory and on disk goes in the order of time", async (t) => {
  t.after(() => (Storage.isFull = false));
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  Storage.isFull = true;
  const ids = [tab.ashiato("page_view")];
  Storage.isFull = false;
  ids.push(tab.ashiato("click"));
  await settle();
  assert.deepEqual(browser.sentIds, ids);
});

test("a page that is left gives its events to a beacon, once, and keeps them", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  const ids = Array.from({ length: 3 }, () => tab.ashiato("page_view"));
  await settle();
  tab.hide();
  assert.deepEqual(browser.beacons.map(({ events }) => events.map((e) => e.event_id)), [ids]);
  assert.equal(browser.queue.length, 3);
  browser.collector = taking;
  browser.open();
  await settle();
  assert.deepEqual(browser.requests.at(-1).events.map((event) => event.event_id), ids);
  assert.deepEqual(browser.queue, []);
});

test("what is under way outlives the page, and is not in the beacon", async () => {
  const browser = new Browser();
  browser.collector = () => new Promise(() => {});
  const tab = browser.open();
  const first = tab.ashiato("page_view");
  await settle();
  const second = tab.ashiato("click");
  tab.hide();
  assert.deepEqual(browser.sentIds, [first]);
  assert.deepEqual(browser.beacons.map(({ events }) => events.map((e) => e.event_id)), [[second]]);
});

test("beacons have at most 60 kB", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  for (let at = 0; at < 30; at++) tab.ashiato("x", { note: "a".repeat(2500) });
  await settle();
  tab.window.document.visibilityState = "hidden";
  tab.fire("visibilitychange");
  assert.ok(browser.beacons.reduce((sum, { bytes }) => sum + bytes, 0) <= 6e4);
  assert.equal(browser.queue.length, 30);
});

for (const hasBeacon of [false, "full"]) {
  const what = hasBeacon ? "a beacon that is declined" : "a browser without beacons";
  test(`${what} leaves it to fetch`, async () => {
    const browser = new Browser();
    browser.collector = () => answer(503);
    const tab = browser.open({ hasBeacon });
    const id = tab.ashiato("page_view");
    await settle();
    tab.hide();
    await settle();
    assert.deepEqual(browser.sentIds, [id, id]);
    assert.equal(browser.requests[1].keepalive, true);
    assert.equal(browser.queue.length, 1);
  });
}

test("without consent no ids: apart from others, and remembered by all tabs", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  const other = browser.open();
  tab.ashiato.consent(false);
  const bare = tab.ashiato("page_view");
  tab.ashiato.consent(true);
  const full = tab.ashiato("page_view");
  await settle();
  browser.collector = taking;
  browser.requests = [];
  await runTimers(tab);
  const sent = browser.requests.map(({ url, credentials, events }) => {
    return [end(url), credentials, events[0]?.event_id];
  });
  assert.deepEqual(sent, [
    ["events?anonymous=1", "include", undefined],
    ["events?anonymous=1", "omit", bare],
    ["events", "include", full],
  ]);

  browser.requests = [];
  tab.ashiato.consent(false);
  other.ashiato("page_view");
  other.timers.length && (await runTimers(other));
  browser.open().ashiato("page_view");
  await settle();
  assert.ok(browser.requests.length > 0);
  assert.ok(browser.requests.every(({ url }) => url.endsWith("?anonymous=1")));
});

test("what waits when consent is withdrawn goes without ids", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  tab.ashiato.consent(false);
  await runTimers(tab);
  tab.hide();
  const asked = [...browser.requests, ...browser.beacons].map(({ url }) => end(url));
  assert.deepEqual(asked, ["events", "events?anonymous=1"]);
  // A beacon would have taken cookies along.
  assert.deepEqual(browser.beacons, []);
  browser.collector = taking;
  browser.requests = [];
  await runTimers(tab);
  const credentials = browser.requests.map(({ events, credentials }) => [events.length, credentials]);
  assert.deepEqual(credentials, [
    [0, "include"],
    [1, "omit"],
  ]);
});

test("who refuses has the collector take its cookies back, and is another visitor later", async () => {
  const browser = new Browser();
  browser.collector = keeping;
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  const before = browser.requests[0].url;
  tab.ashiato("page_view");
  await settle();
  // The collector is away, the page is left, and consent is given again: still they go first.
  browser.requests = [];
  browser.collector = () => answer(503);
  tab.ashiato.consent(false);
  tab.ashiato.consent(false);
  await settle();
  tab.ashiato.consent(true);
  tab.ashiato("click");
  tab.hide();
  assert.deepEqual(browser.beacons, []);
  assert.deepEqual(browser.requests.map(({ body }) => body), ["[]"]);
  const [{ url, credentials }] = browser.requests;
  assert.deepEqual([end(url), credentials], ["events?anonymous=1", "include"]);
  browser.requests = [];
  browser.collector = keeping;
  browser.open();
  await settle();
  assert.deepEqual(browser.requests.map(({ events }) => events.length), [0, 1]);
  assert.match(browser.requests[1].url, /\?first=[0-9a-f-]{36}$/);
  assert.notEqual(browser.requests[1].url, before);
});

test("who has refused already is not asked for cookies again by each page", async () => {
  const browser = new Browser();
  for (let page = 0; page < 3; page++) {
    browser.open().ashiato.consent(false);
    await settle();
  }
  assert.equal(browser.requests.length, 1);
});

test("a newcomer's name is kept until a cookie comes back", async () => {
  const browser = new Browser();
  const tab = browser.open();
  const ask = async (cookie) => {
    browser.requests = [];
    browser.collector = () => answer(204, "", cookie && { "ashiato-visit-cookie": cookie });
    tab.ashiato("click");
    await settle();
    return browser.requests[0].url.split("/").at(-1);
  };
  // Cookies are blocked: each answer brings some, and none comes back.
  const name = await ask("new");
  assert.match(name, /^events\?first=[0-9a-f-]{36}$/);
  assert.deepEqual([await ask("new"), await ask("new"), await ask("kept")], [name, name, name]);
  assert.deepEqual([await ask("kept"), await ask("kept")], ["events", "events"]);
  // Then they are blocked after all.
  assert.equal(await ask("new"), "events");
  const another = await ask("new");
  assert.match(another, /^events\?first=/);
  assert.notEqual(another, name);
  assert.equal(await ask("new"), another);
  // Whoever is not tracked gets none, and needs no name.
  assert.equal(await ask(), another);
  assert.equal(await ask(), "events");
});

test("45 events that waited are in beacons and in the queue, each with its id", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  const ids = Array.from({ length: 45 }, () => tab.ashiato("page_view"));
  await settle();
  tab.hide();
  const carried = browser.beacons.flatMap(({ events }) => events.map((event) => event.event_id));
  assert.deepEqual(carried, ids);
  browser.collector = taking;
  browser.requests = [];
  browser.open();
  await settle();
  assert.deepEqual(browser.sentIds, ids);
});

test("nothing is thrown into a page, whatever it hands over", async (t) => {
  const rejections = [];
  const note = (reason) => rejections.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  const browser = new Browser();
  const tab = browser.open();
  const circle = {};
  circle.circle = circle;
  const thrower = () => {
    throw new Error("of the page");
  };
  const hostile = new Proxy({}, { get: thrower, ownKeys: thrower });
  const taken = [
    {},
    null,
    undefined,
    { cart: {} },
    { cart: null },
    { cart: "x" },
    { cart: { items: null } },
    { cart: { items: {} } },
    { cart: { items: "x" } },
    { cart: { items: [null, 1, "x", undefined, [], { price: 1n }] } },
    { n: 1n, f: () => 1, s: Symbol("s") },
    "text",
    17,
    [],
    { event_id: "x!" },
  ];
  for (const details of taken) {
    assert.ok(tab.ashiato("x", details), `${typeof details}`);
  }
  const lost = [
    circle,
    hostile,
    { cart: hostile },
    { cart: { items: [hostile] } },
    { get cart() { return thrower(); } },
    { toJSON: thrower },
    { toJSON: () => undefined },
    { toJSON: () => "text" },
    { x: { toJSON: thrower } },
  ];
  for (const details of lost) {
    assert.equal(tab.ashiato("x", details), undefined);
  }
  for (const event of [undefined, null, 17, {}, Symbol("s"), hostile, circle, thrower]) {
    tab.ashiato(event);
  }
  for (const given of [undefined, null, 0, hostile, Symbol("s")]) tab.ashiato.consent(given);
  for (const target of [{}, null, { closest: thrower }, { closest: () => ({}) }]) {
    tab.fire("click", { target });
  }
  tab.fire("click");
  await settle();
  const events = browser.requests.flatMap(({ events }) => events);
  assert.ok(events.every((event) => typeof event === "object" && !Array.isArray(event)));
  assert.ok(events.length >= taken.length);
  assert.deepEqual(browser.queue, []);
  assert.deepEqual(rejections, []);
});

test("a browser that lacks or denies what it needs gets no error", async (t) => {
  const rejections = [];
  const note = (reason) => rejections.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  const thrower = () => {
    throw new Error("denied");
  };
  for (const broken of [
    { fetch: thrower },
    { fetch: undefined },
    { crypto: undefined },
    { Blob: undefined },
    { document: null },
  ]) {
    const browser = new Browser();
    const tab = browser.open({ script: null });
    Object.assign(tab.window, broken);
    tab.ashiato("x");
    tab.hide();
    tab.ashiato.consent(false);
    await settle();
  }
  for (const missing of [{ AbortSignal: undefined }, {}]) {
    const browser = new Browser();
    browser.locks = { request: thrower };
    const tab = browser.open();
    Object.assign(tab.window, missing);
    const id = tab.ashiato("x");
    await settle();
    assert.deepEqual(browser.sentIds, [id]);
  }
  assert.deepEqual(rejections, []);
});

test("it is less than 3 kB of a page", () => {
  assert.ok(gzipSync(readFileSync(source), { level: 9 }).length < 3000);
});

test("until the first answer, requests and beacons say that they are of one newcomer", async () => {
  const browser = new Browser();
  browser.collector = () => answer(503);
  const tab = browser.open();
  tab.ashiato("page_view");
  await settle();
  tab.hide();
  const next = browser.open();
  next.ashiato("click");
  await settle();
  const asked = [...browser.requests, ...browser.beacons].map(({ url }) => url);
  assert.ok(asked.length > 2);
  assert.equal(new Set(asked).size, 1);
  assert.match(asked[0], /\?first=[0-9a-f-]{36}$/);

  browser.collector = taking;
  await runTimers(next);
  browser.requests = [];
  next.ashiato("click");
  await settle();
  assert.deepEqual(browser.requests.map(({ url }) => url.split("/").at(-1)), ["events"]);
});
