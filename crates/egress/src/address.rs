//! What kind of network an IP address belongs to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Reachable on the public internet.
    Public,
    /// This machine (`127.0.0.0/8`, `::1`).
    Loopback,
    /// A private network (`10/8`, `172.16/12`, `192.168/16`, `fc00::/7`).
    Private,
    /// The network segment itself (`169.254/16`, `fe80::/10`), where clouds put their metadata services.
    LinkLocal,
    /// A cloud's metadata service outside the link-local range.
    Metadata,
    /// Carrier-grade NAT (`100.64/10`).
    SharedNat,
    Multicast,
    /// "This host" (`0.0.0.0/8`, `::`), which operating systems take for the loopback.
    Unspecified,
    Documentation,
    /// Set aside by a standard and not routed publicly.
    Reserved,
}

impl AddressClass {
    /// Finds the class of an address. An IPv4 address inside an IPv6 one counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Public => "a public",
            Self::Loopback => "a loopback",
            Self::Private => "a private",
            Self::LinkLocal => "a link-local",
            Self::Metadata => "a cloud metadata",
            Self::SharedNat => "a carrier-grade NAT",
            Self::Multicast => "a multicast",
            Self::Unspecified => "an unspecified",
            Self::Documentation => "a documentation",
            Self::Reserved => "a reserved",
        })?;
        formatter.write_str(" address")
    }
}

/// Metadata services that answer on ordinary-looking addresses: Alibaba, Azure and Oracle.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// Metadata services inside the unique-local range: Amazon and Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

// The ranges are those of IANA's special-purpose address registries for IPv4 and IPv6.
fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.octets() {
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        [169, 254, ..] => AddressClass::LinkLocal,
        [100, 64..=127, ..] => AddressClass::SharedNat,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        // Protocol assignments, the former 6to4 relays, benchmarks, and class E with the broadcast address.
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [240..=255, ..] => AddressClass::Reserved,
        [224..=239, ..] => AddressClass::Multicast,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // IPv4-mapped, IPv4-compatible, and the well-known prefix of NAT64.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        // Unique-local, and site-local that it replaced.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => AddressClass::Documentation,
        // Teredo, benchmarks, ORCHID and other protocol assignments.
        [0x2001, 0..=0x01ff, ..] => AddressClass::Reserved,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        // Only 2000::/3 is handed out for public use. This holds local NAT64 prefixes too.
        _ => AddressClass::Reserved,
    }
}

fn embedded(high: u16, low: u16) -> AddressClass {
    let [first, second] = high.to_be_bytes();
    let [third, fourth] = low.to_be_bytes();
    of_v4(Ipv4Addr::new(first, second, third, fourth))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(expected: AddressClass, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(AddressClass::of(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn every_special_range_has_its_class_up_to_its_borders() {
        check(AddressClass::Unspecified, &["0.0.0.0", "0.255.255.255", "::"]);
        check(AddressClass::Loopback, &["127.0.0.1", "127.255.255.255", "::1"]);
        check(AddressClass::Private, &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255"]);
        check(AddressClass::Private, &["192.168.0.0", "192.168.255.255", "fc00::", "fdff::1", "fec0::1"]);
        check(
            AddressClass::LinkLocal,
            &["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::"],
        );
        check(AddressClass::Metadata, &["100.100.100.200", "168.63.129.16", "192.0.0.192"]);
        check(AddressClass::Metadata, &["fd00:ec2::254", "fd20:ce::254"]);
        check(AddressClass::SharedNat, &["100.64.0.0", "100.127.255.255"]);
        check(AddressClass::Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1"]);
        check(
            AddressClass::Documentation,
            &["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
        );
        check(AddressClass::Reserved, &["192.0.0.1", "192.88.99.1", "198.18.0.1", "198.19.255.255"]);
        check(
            AddressClass::Reserved,
            &["240.0.0.1", "255.255.255.255", "2001::1", "2001:2::1", "2001:1ff::"],
        );
        check(
            AddressClass::Reserved,
            &["100::1", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1", "5f00::1", "4000::"],
        );
    }

    #[test]
    fn addresses_beside_the_special_ranges_are_public() {
        check(
            AddressClass::Public,
            &["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"],
        );
        check(AddressClass::Public, &["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0"]);
        check(AddressClass::Public, &["172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"]);
        check(AddressClass::Public, &["198.17.255.255", "198.20.0.0", "223.255.255.255"]);
        check(
            AddressClass::Public,
            &["2001:200::1", "2001:db7::1", "2001:db9::1", "2606:4700::1111", "3ffe::"],
        );
    }

    #[test]
    fn an_embedded_address_counts_as_what_it_is() {
        check(
            AddressClass::Loopback,
            &["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"],
        );
        check(
            AddressClass::LinkLocal,
            &["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"],
        );
        check(AddressClass::Private, &["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::c0a8:1", "2002:c0a8:1::5"]);
        check(AddressClass::Metadata, &["::ffff:168.63.129.16"]);
        check(AddressClass::Public, &["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]);
    }

    proptest! {
        #[test]
        fn a_mapped_address_has_the_class_of_its_plain_form(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(AddressClass::of(plain.to_ipv6_mapped().into()), AddressClass::of(plain.into()));
        }

        #[test]
        fn the_standard_library_agrees_about_what_it_knows(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_unspecified()
                || address.is_documentation();
            prop_assert!(!special || of_v4(address) != AddressClass::Public, "{}", address);
        }
    }
}
