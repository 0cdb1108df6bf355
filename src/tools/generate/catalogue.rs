//! What the shop sells and who visits it.

/// A part of the shop.
#[derive(Debug)]
pub(super) struct ShopService {
    /// The name in the logs.
    pub(super) name: &'static str,
    /// The name in titles.
    pub(super) title: &'static str,
    /// Its host below `ashiato.example`.
    pub(super) host: &'static str,
    /// How many of 1,000 visits go there.
    pub(super) weight: u32,
    pub(super) products: &'static [Product],
}

/// Something that is sold, in some variants.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) name: &'static str,
    /// A category of the tax table (or not, as real data has it).
    pub(super) category: &'static str,
    /// Yen without tax, of the first variant.
    pub(super) price: u32,
}

const fn product(name: &'static str, category: &'static str, price: u32) -> Product {
    Product { name, category, price }
}

/// One name has a slash, which paths must escape; the last is that of a logger without a name.
pub(super) const SERVICES: &[ShopService] = &[
    service("books", "足跡書店", "books", 300, BOOKS),
    service("fashion", "足跡モード", "fashion", 200, FASHION),
    service("food", "足跡マルシェ", "food", 180, FOOD),
    service("electronics", "足跡デンキ", "denki", 140, ELECTRONICS),
    service("travel", "足跡トラベル", "travel", 90, TRAVEL),
    service("beauty", "足跡ビューティー", "beauty", 65, BEAUTY),
    service("tickets/events", "足跡チケット", "tickets", 20, TICKETS),
    service("", "足跡", "www", 5, BOOKS),
];

const fn service(
    name: &'static str,
    title: &'static str,
    host: &'static str,
    weight: u32,
    products: &'static [Product],
) -> ShopService {
    ShopService { name, title, host, weight, products }
}

/// Names with what tab-separated text must escape are among them, down to a lone `\N`.
const BOOKS: &[Product] = &[
    product("吾輩は猫である", "standard", 680),
    product("銀河鉄道の夜", "standard", 572),
    product("週刊足跡新聞(定期購読)", "reduced", 3_925),
    product("入門 \"Rust\" プログラミング", "standard", 3_960),
    product("パスの書き方 C:\\temp\\new", "standard", 2_178),
    product("統計学のことば", "standard", 1_999),
    product("\\N", "standard", 1_111),
    product("詩集\n雨のあと", "standard", 1_333),
    product("表計算の\tこつ", "standard", 1_727),
    product("The Art of Data 🗂️", "standard", 4_321),
    product("ギフトカード", "exempt", 3_000),
    product("絵本 ねこ🐈といぬ🐕", "standard", 1_403),
];
const FASHION: &[Product] = &[
    product("リネンシャツ", "standard", 4_990),
    product("デニムパンツ", "standard", 6_990),
    product("ウールコート", "standard", 19_800),
    product("スニーカー 26.5cm", "standard", 8_778),
    product("マフラー<チェック>", "standard", 2_475),
    product("T-shirt \"足跡\"", "standard", 1_990),
    product("革ベルト", "standard", 3_333),
    product("帽子 & 手袋セット", "standard", 4_447),
];
const FOOD: &[Product] = &[
    product("コーヒー豆 200g", "reduced", 1_198),
    product("緑茶ティーバッグ", "reduced", 498),
    product("新潟県産コシヒカリ 5kg", "reduced", 2_980),
    product("苺のジャム", "reduced", 699),
    product("ふるさと納税 りんご", "donation", 12_000),
    product("純米大吟醸 720ml", "standard", 3_281),
    product("クラフトビール 6本", "standard", 1_879),
    product("カレー(辛口)", "reduced", 333),
    product("バゲット🥖", "reduced", 321),
];
const ELECTRONICS: &[Product] = &[
    product("ワイヤレスイヤホン", "standard", 12_800),
    product("USB-C ケーブル 1m", "standard", 899),
    product("27インチ 4K モニター", "standard", 39_801),
    product("機械式キーボード", "standard", 15_406),
    product("ノートPC 14\"", "standard", 149_800),
    product("電球 LED", "standard", 547),
    product("充電器 65W", "standard", 3_487),
];
const TRAVEL: &[Product] = &[
    product("箱根 温泉旅館 1泊", "standard", 18_182),
    product("京都 町家ステイ", "standard", 14_546),
    product("国内航空券 羽田-新千歳", "standard", 11_819),
    product("国際航空券 成田-台北", "exempt", 38_500),
    product("レンタカー 24時間", "standard", 5_910),
];
const BEAUTY: &[Product] = &[
    product("化粧水 200ml", "standard", 1_628),
    product("日焼け止め SPF50+", "standard", 1_078),
    product("ハンドクリーム", "standard", 767),
    product("ビタミンC サプリ", "reduced", 1_285),
    product("口紅 No.\u{3000}7", "standard", 2_891),
];
const TICKETS: &[Product] = &[
    product("足跡フェス 2026 1日券", "standard", 9_091),
    product("美術館 前売券", "standard", 1_637),
    product("プロ野球 内野席", "standard", 4_819),
];

/// What people look for.
pub(super) const QUERIES: &[&str] = &[
    "猫",
    "コーヒー豆",
    "スニーカー メンズ",
    "ノートPC",
    "温泉 旅館",
    "ギフト🎁",
    "t-shirt",
    "C++ 入門",
    "50% off",
    "\"完全一致\"",
    "usb\\c",
    "a&b=c?",
    "貼り付け\nた改行",
    "タブ\tも",
    "  空白  ",
    "ビール",
    "カレー/辛口",
    "電球",
    "#新刊",
    "",
];

/// A way by which visits come: its name, the campaign's beginning, and the page before.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: &'static str,
    pub(super) campaign: Option<&'static str>,
    pub(super) referrer: Option<&'static str>,
    pub(super) weight: u32,
}

const fn channel(
    name: &'static str,
    campaign: Option<&'static str>,
    referrer: Option<&'static str>,
    weight: u32,
) -> Channel {
    Channel { name, campaign, referrer, weight }
}

pub(super) const CHANNELS: &[Channel] = &[
    channel("search", None, Some("https://www.google.com/"), 30),
    channel("direct", None, None, 25),
    channel("search", None, Some("https://search.yahoo.co.jp/"), 10),
    channel("email", Some("メルマガ"), None, 10),
    channel("social", Some("sns"), Some("https://t.co/"), 8),
    channel("social", Some("sns"), Some("https://www.instagram.com/"), 5),
    channel("ad", Some("autumn sale"), Some("https://ads.partner.example/click?c=秋"), 7),
    channel("affiliate", Some("aff"), Some("https://blog.example/おすすめ"), 3),
    channel("app", Some("push"), Some(""), 2),
];

/// A visitor's program: `#` in its text stands for a version.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) text: Option<&'static str>,
    pub(super) screen: Option<&'static str>,
    pub(super) weight: u32,
    /// Robots have no user, no visit and no cart.
    pub(super) robot: bool,
}

const fn person(text: &'static str, screen: &'static str, weight: u32) -> Agent {
    Agent { text: Some(text), screen: Some(screen), weight, robot: false }
}

const fn robot(text: &'static str, weight: u32) -> Agent {
    Agent { text: Some(text), screen: None, weight, robot: true }
}

/// Browsers, phones, tablets, televisions, robots and the rest; few make up most of the visits.
pub(super) const AGENTS: &[Agent] = &[
    person(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Version/26.# Mobile/15E148 Safari/604.1",
        "393x852",
        300,
    ),
    person(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/14#.0.0.0 Safari/537.36",
        "1920x1080",
        170,
    ),
    person(
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/14#.0.0.0 Mobile Safari/537.36",
        "412x915",
        130,
    ),
    person(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Version/26.# Safari/605.1.15",
        "1512x982",
        70,
    ),
    person(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/14#.0.0.0 Safari/537.36 Edg/14#.0.0.0",
        "1536x864",
        60,
    ),
    person(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Mobile/15E148 Safari Line/15.1#.0",
        "390x844",
        50,
    ),
    person(
        "Mozilla/5.0 (Linux; Android 15; SC-51E Build/AP3A.240905.015; wv) AppleWebKit/537.36 \
         (KHTML, like Gecko) Version/4.0 Chrome/14#.0.7390.122 Mobile Safari/537.36",
        "360x780",
        35,
    ),
    person(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/14#.0.0.0 Safari/537.36",
        "1440x900",
        30,
    ),
    person(
        "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Version/26.# Mobile/15E148 Safari/604.1",
        "820x1180",
        25,
    ),
    person(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:14#.0) Gecko/20100101 Firefox/14#.0",
        "1920x1200",
        22,
    ),
    person(
        "Mozilla/5.0 (Linux; Android 14; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/14#.0.0.0 Safari/537.36",
        "1200x1920",
        8,
    ),
    person(
        "Mozilla/5.0 (X11; Linux x86_64; rv:14#.0) Gecko/20100101 Firefox/14#.0",
        "2560x1440",
        6,
    ),
    person(
        "Mozilla/5.0 (Linux; Android 12; BRAVIA 4K VH2) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/13#.0.0.0 Safari/537.36",
        "3840x2160",
        3,
    ),
    robot(
        "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/14#.0.7390.122 Mobile Safari/537.36 (compatible; \
         Googlebot/2.1; +http://www.google.com/bot.html)",
        26,
    ),
    robot(
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; \
         +http://www.bing.com/bingbot.htm) Chrome/13#.0.0.0 Safari/537.36",
        14,
    ),
    robot("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", 10),
    robot(
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.#; \
         +https://openai.com/gptbot",
        8,
    ),
    robot("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 5),
    robot("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", 4),
    robot("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", 3),
    robot("curl/8.#.0", 2),
    robot("python-requests/2.3#.0", 2),
    Agent { text: None, screen: None, weight: 3, robot: false },
    person("", "", 1),
    person("-\t\"><script>alert(1)</script>\\", "0x0", 1),
];

/// A range of addresses of one country, `bits` of which are the network's.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) first: Address,
    pub(super) bits: u32,
    pub(super) weight: u32,
}

/// An address as a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Address {
    V4(u32),
    V6(u128),
}

const fn v4(a: u8, b: u8, c: u8, bits: u32, weight: u32) -> Network {
    Network { first: Address::V4(u32::from_be_bytes([a, b, c, 0])), bits, weight }
}

const fn v6(high: u64, bits: u32, weight: u32) -> Network {
    Network { first: Address::V6((high as u128) << 64), bits, weight }
}

/// Ranges of visitors, most of them of providers in Japan.
pub(super) const VISITOR_NETWORKS: &[Network] = &[
    v4(126, 0, 0, 8, 120),
    v4(106, 128, 0, 10, 110),
    v4(153, 128, 0, 9, 90),
    v4(49, 96, 0, 13, 80),
    v4(1, 66, 0, 15, 70),
    v4(27, 80, 0, 12, 60),
    v4(60, 32, 0, 12, 50),
    v4(118, 0, 0, 12, 40),
    v4(219, 96, 0, 11, 30),
    v4(133, 0, 0, 8, 20),
    v6(0x2400_4000_0000_0000, 22, 70),
    v6(0x240b_0010_0000_0000, 30, 60),
    v6(0x2400_2410_0000_0000, 30, 50),
    v6(0x240d_0000_0000_0000, 28, 20),
    v6(0x240f_0000_0000_0000, 24, 15),
    v6(0x2001_0240_0000_0000, 32, 10),
    v4(73, 0, 0, 8, 20),
    v4(98, 192, 0, 10, 10),
    v4(175, 192, 0, 10, 12),
    v4(114, 240, 0, 12, 10),
    v4(116, 86, 0, 15, 6),
    v4(36, 64, 0, 11, 5),
    v4(14, 160, 0, 11, 5),
    v4(171, 96, 0, 13, 5),
    v4(1, 120, 0, 13, 5),
    v4(87, 128, 0, 10, 5),
    v4(86, 128, 0, 10, 4),
    v4(90, 0, 0, 9, 4),
    v4(177, 0, 0, 8, 3),
    v6(0x2600_1700_0000_0000, 28, 8),
    v6(0x2003_0000_0000_0000, 19, 4),
    v6(0x2a00_23c0_0000_0000, 27, 3),
];

/// Ranges that robots come from.
pub(super) const ROBOT_NETWORKS: &[Network] = &[
    v4(66, 249, 64, 19, 40),
    v4(157, 55, 39, 24, 15),
    v4(40, 77, 167, 24, 10),
    v4(54, 36, 148, 23, 15),
    v4(20, 171, 207, 24, 10),
    v4(5, 255, 253, 24, 5),
    v6(0x2001_4860_4801_0000, 48, 5),
];

/// Addresses that are in no country: private, reserved, or none at all.
pub(super) const ODD_ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "192.168.11.7",
    "172.16.0.9",
    "127.0.0.1",
    "100.64.3.2",
    "fd00:1234::5",
    "fe80::1",
    "::1",
    "203.0.113.300",
    "unknown",
    "133.11.0.1, 10.0.0.1",
    "",
];
