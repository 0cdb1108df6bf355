//! Records of the action log, line by line.
//!
//! One record in both forms (in one line each):
//!
//! ```text
//! v2  {"v":2,"event_id":"9c5f…","time":"2026-11-21T13:05:00.123+09:00","service":"food",
//!      "event":"cart_add","user":{"id":"u0000012","member":true},
//!      "session":{"short":"S…","long":"L…"},"via":{"channel":"search"},
//!      "device":{"ip":"126.…","ua":"Mozilla/5.0 …","screen":"393x852","language":"ja-JP"},
//!      "page":{"url":"https://food.ashiato.example/商品/food-00-03","title":"…","referrer":"…"},
//!      "cart":{"items":[{"sku":"food-00-03","name":"コーヒー豆 200g 3","category":"reduced",
//!      "price":1228,"quantity":2,"amount":2456}]}}
//! v1  {"id":"9c5f…","ts":1795233900123,"svc":"food","action":"cart_add","uid":"u0000012",
//!      "member":true,"sid":"S…","lsid":"L…","from":"search","ip":"126.…","agent":"Mozilla…",
//!      "scr":"393x852","url":"https:\/\/food.ashiato.example\/\u5546\u54c1\/food-00-03",
//!      "ttl":"…","ref":"…","items":[{"id":"food-00-03","n":"…","cat":"reduced","p":1228,"q":2,
//!      "amt":2456}]}
//! ```

use super::catalogue::{Product, QUERIES, ShopService};
use super::flaw::{Flaw, cut_off, push_flawed_members, push_no_record};
use super::hour::Hour;
use super::json_text::{
    Escapes, push, push_digits, push_hex, push_inside, push_number, push_query_encoded,
    push_string, push_text_member,
};
use super::random::{SeededRandom, mixed};
use super::summary::RecordCounts;
use super::visit::{LogVersion, Visit};

/// Visits that are under way at a time.
const VISITS: usize = 48;
/// Variants of a product.
const VARIANTS: u32 = 16;
/// Bytes of a [`Flaw::Long`] line's title: more than the contract's 64 KiB.
const LONG_TITLE_BYTES: usize = 66_000;

/// What happened, in the order of the funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ActionKind {
    PageView,
    Search,
    Click,
    CartAdd,
    CartRemove,
    Purchase,
}

impl ActionKind {
    const WEIGHTS: [(ActionKind, u32); 6] = [
        (ActionKind::PageView, 58),
        (ActionKind::Search, 12),
        (ActionKind::Click, 14),
        (ActionKind::CartAdd, 8),
        (ActionKind::CartRemove, 2),
        (ActionKind::Purchase, 6),
    ];

    fn name(self) -> &'static str {
        match self {
            ActionKind::PageView => "page_view",
            ActionKind::Search => "search",
            ActionKind::Click => "click",
            ActionKind::CartAdd => "cart_add",
            ActionKind::CartRemove => "cart_remove",
            ActionKind::Purchase => "purchase",
        }
    }
}

/// A product's variant.
#[derive(Debug, Clone, Copy)]
struct Article {
    service: &'static ShopService,
    product: &'static Product,
    index: u32,
    variant: u32,
}

impl Article {
    fn pick(service: &'static ShopService, random: &mut SeededRandom) -> Article {
        let index = random.low_below(service.products.len() as u32);
        let product = &service.products[index as usize];
        Article { service, product, index, variant: random.low_below(VARIANTS) }
    }

    fn sku(self) -> String {
        let shelf = if self.service.name.is_empty() { "misc" } else { self.service.host };
        format!("{shelf}-{:02}-{:02}", self.index, self.variant)
    }

    fn name(self) -> String {
        match self.variant {
            0 => self.product.name.to_owned(),
            variant => format!("{} {variant}", self.product.name),
        }
    }

    fn price(self) -> i64 {
        i64::from(self.product.price) + 10 * i64::from(self.variant)
    }
}

/// What a visitor did: to which article, or in search of what.
#[derive(Debug, Clone, Copy)]
struct Action {
    event: ActionKind,
    article: Article,
    query: &'static str,
}

/// Writes the lines of one object.
#[derive(Debug)]
pub(super) struct RecordWriter {
    random: SeededRandom,
    hour: Hour,
    /// What events' ids are made from; no two objects of a run have one in common.
    first_id: u64,
    written: u64,
    visits: Vec<Visit>,
    pub(super) counts: RecordCounts,
}

impl RecordWriter {
    pub(super) fn new(seed: u64, object: u32, hour: Hour) -> Self {
        let mut random = SeededRandom::new(seed, u64::from(object));
        let visits = (0..VISITS).map(|_| Visit::begin(&mut random)).collect();
        let first_id = mixed(seed) ^ u64::from(object) << 40;
        RecordWriter { random, hour, first_id, written: 0, visits, counts: RecordCounts::default() }
    }

    /// Draws whether the next line is flawed, with a likelihood in 2^32ths.
    pub(super) fn is_flawed(&mut self, likelihood: u64) -> bool {
        self.random.bits() >> 32 < likelihood
    }

    /// Appends one line without its end; `at` is in milliseconds from the hour's beginning.
    pub(super) fn write_line(&mut self, out: &mut Vec<u8>, at: u32, flaw: Option<Flaw>) {
        self.counts.lines += 1;
        match flaw {
            Some(Flaw::Blank) => self.counts.blank += 1,
            Some(Flaw::NegativeQuantity) => self.counts.negative_quantities += 1,
            _ => {}
        }
        if let Some(reason) = flaw.and_then(Flaw::reason) {
            *self.counts.bad_lines.entry(reason).or_default() += 1;
        }
        if let Some(flaw) = flaw
            && push_no_record(out, flaw, &mut self.random)
        {
            return;
        }
        let start = out.len();
        let slot = self.random.below(VISITS as u32) as usize;
        if self.visits[slot].records_left == 0 {
            self.visits[slot] = Visit::begin(&mut self.random);
        }
        let mut visits = std::mem::take(&mut self.visits);
        visits[slot].records_left -= 1;
        self.write_record(out, &mut visits[slot], at, flaw);
        self.visits = visits;
        if flaw == Some(Flaw::CutOff) {
            cut_off(out, start);
        }
    }

    fn write_record(&mut self, out: &mut Vec<u8>, visit: &mut Visit, at: u32, flaw: Option<Flaw>) {
        let event = match flaw {
            Some(Flaw::NegativeQuantity) => ActionKind::Purchase,
            _ if visit.robot => ActionKind::PageView,
            _ => self.random.pick_weighted(&ActionKind::WEIGHTS, |event| event.1).0,
        };
        let counted = flaw.is_none_or(|flaw| flaw.reason().is_none());
        if counted {
            self.counts.count_record(visit.version, visit.service.name, event.name());
        }
        self.push_head(out, visit, at, flaw);
        push(out, if visit.version == LogVersion::V1 { ",\"svc\":\"" } else { ",\"service\":\"" });
        push_inside(out, visit.service.name, visit.version.escapes());
        push(
            out,
            if visit.version == LogVersion::V1 { "\",\"action\":\"" } else { "\",\"event\":\"" },
        );
        push(out, event.name());
        out.push(b'"');
        out.extend_from_slice(&visit.identity);
        out.extend_from_slice(&visit.surroundings);
        let article = Article::pick(visit.service, &mut self.random);
        let action = Action { event, article, query: self.random.pick(QUERIES) };
        self.push_page(out, visit, action, flaw);
        self.push_details(out, visit.version, action);
        if matches!(event, ActionKind::CartAdd | ActionKind::CartRemove | ActionKind::Purchase) {
            self.push_cart(out, visit, action, flaw, counted);
        }
        if flaw != Some(Flaw::Huge) && self.random.once_in(5) {
            push(
                out,
                if visit.version == LogVersion::V1 { ",\"trace_id\":" } else { ",\"trace\":" },
            );
            push_number(out, (self.random.bits() >> 1) as i64);
        }
        self.push_unnamed(out);
        push_flawed_members(out, flaw, visit.version);
        out.push(b'}');
    }

    /// Version, id and time.
    fn push_head(&mut self, out: &mut Vec<u8>, visit: &Visit, at: u32, flaw: Option<Flaw>) {
        let v1 = visit.version == LogVersion::V1;
        if v1 {
            out.push(b'{');
        } else if flaw == Some(Flaw::OtherType) {
            push(out, "{\"v\":\"two\",");
        } else {
            push(out, "{\"v\":2,");
        }
        let id = mixed(self.first_id.wrapping_add(self.written));
        self.written += 1;
        if flaw != Some(Flaw::NoId) {
            push(out, if v1 { "\"id\":\"" } else { "\"event_id\":\"" });
            push_hex(out, id, 16);
            push(out, "\",");
        }
        if v1 { self.push_epoch(out, at, flaw) } else { self.push_time(out, at, flaw) }
    }

    /// The old form's time: milliseconds, in quotes from some loggers.
    fn push_epoch(&mut self, out: &mut Vec<u8>, at: u32, flaw: Option<Flaw>) {
        push(out, "\"ts\":");
        match flaw {
            Some(Flaw::OtherType) => push(out, "true"),
            Some(Flaw::NoTime) => push(out, "\"yesterday\""),
            _ => {
                let quote = if self.random.once_in(8) { "\"" } else { "" };
                push(out, quote);
                push_number(out, self.hour.start_ms + i64::from(at));
                push(out, quote);
            }
        }
    }

    /// The new form's time: local, or UTC from some apps.
    fn push_time(&mut self, out: &mut Vec<u8>, at: u32, flaw: Option<Flaw>) {
        let utc = self.random.once_in(16);
        push(out, "\"time\":\"");
        push(out, if utc { &self.hour.utc } else { &self.hour.local });
        push_digits(out, if flaw == Some(Flaw::NoTime) { 61 } else { at / 60_000 }, 2);
        out.push(b':');
        push_digits(out, at / 1000 % 60, 2);
        out.push(b'.');
        push_digits(out, at % 1000, 3);
        push(out, if utc { "Z\"" } else { "+09:00\"" });
    }

    /// The page's URL, title and referrer; this page is the next one's referrer.
    fn push_page(
        &mut self,
        out: &mut Vec<u8>,
        visit: &mut Visit,
        action: Action,
        flaw: Option<Flaw>,
    ) {
        let escapes = visit.version.escapes();
        let (open, title_key, referrer_key) = match visit.version {
            LogVersion::V1 => (",", "ttl", "ref"),
            LogVersion::V2 => (",\"page\":{", "title", "referrer"),
        };
        let url = page_url(visit, action);
        push(out, open);
        push_text_member(out, "url", &url, escapes);
        push(out, ",\"");
        push(out, title_key);
        push(out, "\":\"");
        match flaw {
            Some(Flaw::Nul) => push(out, "こわれた\\u0000題"),
            Some(Flaw::Long) => out.extend(std::iter::repeat_n(b'w', LONG_TITLE_BYTES)),
            _ => self.push_title(out, visit.service, action, escapes),
        }
        push(out, "\",\"");
        push(out, referrer_key);
        push(out, "\":");
        match &visit.referrer {
            Some(referrer) => push_string(out, referrer, escapes),
            None => push(out, "null"),
        }
        if visit.version == LogVersion::V2 {
            out.push(b'}');
        }
        visit.campaign_query.clear();
        visit.referrer = if visit.robot { None } else { Some(url) };
    }

    fn push_title(
        &mut self,
        out: &mut Vec<u8>,
        service: &ShopService,
        action: Action,
        escapes: Escapes,
    ) {
        let page = match action.event {
            ActionKind::Search => format!("「{}」の検索結果", action.query),
            ActionKind::CartAdd | ActionKind::CartRemove => "カート".to_owned(),
            ActionKind::Purchase => "ご注文ありがとうございます🎉".to_owned(),
            ActionKind::PageView | ActionKind::Click => action.article.name(),
        };
        push_inside(out, &page, escapes);
        push_inside(out, " | ", escapes);
        push_inside(out, service.title, escapes);
        if self.random.once_in(16) {
            push_inside(out, " ✨\u{1f469}\u{200d}\u{1f4bb}", escapes);
        }
    }

    /// What only some events have.
    fn push_details(&mut self, out: &mut Vec<u8>, version: LogVersion, action: Action) {
        let escapes = version.escapes();
        let Action { event, article, query } = action;
        match (event, version) {
            (ActionKind::PageView, LogVersion::V2) => {
                push(out, ",\"perf\":{\"load_ms\":");
                push_number(out, i64::from(80 + self.random.low_below(4096)));
                out.push(b'.');
                push_digits(out, self.random.below(100), 2);
                out.push(b'}');
            }
            (
                ActionKind::PageView
                | ActionKind::CartAdd
                | ActionKind::CartRemove
                | ActionKind::Purchase,
                _,
            ) => {}
            (ActionKind::Search, LogVersion::V1) => {
                out.push(b',');
                push_text_member(out, "q", query, escapes);
            }
            (ActionKind::Search, LogVersion::V2) => {
                push(out, ",\"search\":{");
                push_text_member(out, "query", query, escapes);
                push(out, ",\"hits\":");
                push_number(out, i64::from(self.random.low_below(2000)));
                out.push(b'}');
            }
            (ActionKind::Click, LogVersion::V1) => {
                out.push(b',');
                push_text_member(out, "item", &article.sku(), escapes);
            }
            (ActionKind::Click, LogVersion::V2) => {
                push(out, ",\"target\":{");
                push_text_member(out, "sku", &article.sku(), escapes);
                push(out, ",\"position\":");
                push_number(out, i64::from(1 + self.random.low_below(40)));
                out.push(b'}');
            }
        }
    }

    /// The cart's items, and of a purchase its order.
    fn push_cart(
        &mut self,
        out: &mut Vec<u8>,
        visit: &Visit,
        action: Action,
        flaw: Option<Flaw>,
        counted: bool,
    ) {
        let purchase = action.event == ActionKind::Purchase;
        if purchase {
            self.push_order(out, visit.version);
        }
        let negative = flaw == Some(Flaw::NegativeQuantity);
        let items = if purchase && !negative { 1 + self.random.low_below(6) } else { 1 };
        push(
            out,
            if visit.version == LogVersion::V1 { ",\"items\":[" } else { ",\"cart\":{\"items\":[" },
        );
        for index in 0..items {
            let article = match index {
                0 => action.article,
                _ => Article::pick(visit.service, &mut self.random),
            };
            let quantity = if negative { -1 } else { i64::from(1 + self.random.low_below(4)) };
            if index > 0 {
                out.push(b',');
            }
            self.push_item(out, visit.version, article, quantity);
            if purchase && counted {
                self.counts.purchased_items += 1;
                self.counts.purchased_amount += article.price() * quantity;
            }
        }
        out.push(b']');
        if visit.version == LogVersion::V2 {
            match self.random.below(6) {
                0 => push(out, ",\"coupon\":{\"code\":\"秋10\",\"rate\":0.10}}"),
                1 => push(out, ",\"coupon\":\"FREE-SHIP\"}"),
                2 => push(out, ",\"coupon\":null}"),
                _ => out.push(b'}'),
            }
        }
    }

    fn push_item(
        &mut self,
        out: &mut Vec<u8>,
        version: LogVersion,
        article: Article,
        quantity: i64,
    ) {
        let escapes = version.escapes();
        let [sku, name, category, price, count, amount] = match version {
            LogVersion::V1 => ["id", "n", "cat", "p", "q", "amt"],
            LogVersion::V2 => ["sku", "name", "category", "price", "quantity", "amount"],
        };
        out.push(b'{');
        push_text_member(out, sku, &article.sku(), escapes);
        out.push(b',');
        push_text_member(out, name, &article.name(), escapes);
        out.push(b',');
        push_text_member(out, category, article.product.category, escapes);
        let numbers = [(price, article.price()), (count, quantity)];
        for (key, number) in numbers.into_iter().chain([(amount, article.price() * quantity)]) {
            push(out, ",\"");
            push(out, key);
            push(out, "\":");
            push_number(out, number);
            if version == LogVersion::V1 && key == price && self.random.once_in(8) {
                push(out, ".00");
            }
        }
        if self.random.once_in(12) {
            push(out, ",\"gift\":true");
        }
        out.push(b'}');
    }

    fn push_order(&mut self, out: &mut Vec<u8>, version: LogVersion) {
        let payment = self.random.pick(&["card", "card", "convenience_store", "qr", "points"]);
        let number = self.random.bits();
        let points = i64::from(self.random.low_below(3000));
        if version == LogVersion::V1 {
            push(out, ",\"oid\":\"O");
            push_hex(out, number, 10);
            push(out, "\",\"pay\":\"");
            push(out, payment);
            push(out, "\",\"pts\":\"");
            push_number(out, points);
            out.push(b'"');
            return;
        }
        push(out, ",\"order\":{\"id\":\"O");
        push_hex(out, number, 10);
        push(out, "\",\"payment\":\"");
        push(out, payment);
        push(out, "\",\"points\":");
        push_number(out, points);
        push(out, ",\"shipping_fee\":");
        push(out, self.random.pick(&["0", "550", "550.00", "385.5", "1100"]));
        push(out, ",\"deliver_on\":\"");
        let day = self.random.below(self.hour.delivery_days.len() as u32);
        push(out, &self.hour.delivery_days[day as usize]);
        push(out, "\"}");
    }

    /// Fields that no contract names, and an old one that stands twice.
    fn push_unnamed(&mut self, out: &mut Vec<u8>) {
        match self.random.below(24) {
            0 => push(out, ",\"ab\":{\"test\":\"t12\",\"arm\":\"B\"}"),
            1 => push(out, ",\"debug\":[1,2.5e-3,{\"ok\":true}]"),
            2 => push(out, ",\"実験\":\"甲\""),
            3 => push(out, ",\"build\":7412,\"build\":7413"),
            _ => {}
        }
    }
}

/// The URL of the page on which something happened.
fn page_url(visit: &Visit, action: Action) -> String {
    let mut url = format!("https://{}.ashiato.example/", visit.service.host);
    match action.event {
        ActionKind::Search => {
            url.push_str("search?q=");
            push_query_encoded(&mut url, action.query);
            return url;
        }
        ActionKind::CartAdd | ActionKind::CartRemove => url.push_str("cart"),
        ActionKind::Purchase => url.push_str("order/complete"),
        ActionKind::PageView | ActionKind::Click => {
            url.push_str("商品/");
            url.push_str(&action.article.sku());
        }
    }
    url.push_str(&visit.campaign_query);
    url
}
