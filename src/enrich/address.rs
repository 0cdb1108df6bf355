//! Which texts are IP addresses that a GeoIP database can know.
//!
//! ```text
//! "::ffff:203.0.114.7"  ─► IPv4-mapped ─► 203.0.114.7   ─► public
//! "192.168.1.1"                                         ─► private, none
//! "203.0.113.7:443"                                     ─► no address, none
//! ```
//!
//! The ranges are those of IANA's registries of special-purpose IPv4 and IPv6 addresses that are
//! not globally reachable, with multicast and reserved space. Databases do hold entries for some
//! of them, and those are wrong: a private address is nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address and prefix length of IPv4 ranges that are not public.
const SPECIAL_V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // "this network"
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers (CGNAT)
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and the limited broadcast
];

/// The only IPv6 range that is assigned to be global unicast.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// First address and prefix length of ranges within it that are not public.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// The public address that a text is; none if it is another address or no address.
///
/// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is the IPv4 address within it. Ports, brackets,
/// zones and white space make a text no address.
pub fn parse_public(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let address = address.to_canonical();
    is_public(address).then_some(address)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let within = |(first, prefix): &(Ipv4Addr, u32)| {
                (v4.to_bits() ^ first.to_bits()) >> (32 - prefix) == 0
            };
            !SPECIAL_V4.iter().any(within)
        }
        IpAddr::V6(v6) => {
            let within = |(first, prefix): &(Ipv6Addr, u32)| {
                (v6.to_bits() ^ first.to_bits()) >> (128 - prefix) == 0
            };
            within(&GLOBAL_UNICAST_V6) && !SPECIAL_V6.iter().any(within)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_last_addresses_of_special_ranges_are_not_public() {
        let special = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 \
            127.0.0.1 127.255.255.255 169.254.0.0 169.254.255.255 172.16.0.0 172.31.255.255 \
            192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 192.168.0.0 192.168.255.255 198.18.0.0 \
            198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 \
            239.255.255.255 240.0.0.0 255.255.255.255 \
            :: ::1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:192.168.1.1 64:ff9b::8.8.8.8 100::1 \
            2001::1 2001:1ff:ffff::1 2001:db8:: 2001:db8:ffff:ffff::1 2002:808:808::1 \
            3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1";
        for text in special.split_whitespace() {
            assert_eq!(parse_public(text), None, "{text}");
        }
    }

    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        let public = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
            128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 \
            192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
            198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 \
            2001:200::1 2001:db7:ffff::1 2001:db9::1 2003::1 2a00::1 3ffe:ffff::1 3fff:1000::1";
        for text in public.split_whitespace() {
            assert_eq!(parse_public(text), text.parse().ok(), "{text}");
        }
        assert_eq!(parse_public("::ffff:8.8.8.8"), "8.8.8.8".parse().ok());
        assert_eq!(parse_public("::FFFF:808:808"), "8.8.8.8".parse().ok());
    }

    #[test]
    fn texts_that_are_not_just_an_address_are_none() {
        let malformed = ["", " ", "-", "8.8.8", "8.8.8.8 ", "08.8.8.8", "8.8.8.256", "8.8.8.8:53"];
        let malformed_v6 = ["[2a00::1]", "2a00::1%eth0", "2a00::1::2", "2a00:::", "host.example"];
        for text in malformed.into_iter().chain(malformed_v6) {
            assert_eq!(parse_public(text), None, "{text:?}");
        }
    }
}
