//! IPv6 addresses that follow from a network and a member (protocol specification 10.6).

use std::net::Ipv6Addr;

use crate::{Address, IpPrefix, MacAddress, NetworkId};

/// The RFC 4193 address of `member` on `network`: `fd ‖ network ‖ 99 93 ‖ member`, 88 bits of prefix.
pub fn rfc4193(network: NetworkId, member: Address) -> IpPrefix {
    let mut ip = [0; 16];
    ip[0] = 0xfd;
    ip[1..9].copy_from_slice(&network.0.to_be_bytes());
    ip[9..11].copy_from_slice(&[0x99, 0x93]);
    ip[11..].copy_from_slice(&member.to_bytes());
    IpPrefix {
        ip: Ipv6Addr::from(ip).into(),
        bits: 88,
    }
}

/// The 6PLANE address of `member` on `network`: `fc ‖ folded network ‖ member ‖ 0…1`, 40 bits of prefix. The member
/// owns the 80-bit prefix below its address.
pub fn six_plane(network: NetworkId, member: Address) -> IpPrefix {
    let folded = (network.0 ^ (network.0 >> 32)) as u32;
    let mut ip = [0; 16];
    ip[0] = 0xfc;
    ip[1..5].copy_from_slice(&folded.to_be_bytes());
    ip[5..10].copy_from_slice(&member.to_bytes());
    ip[15] = 1;
    IpPrefix {
        ip: Ipv6Addr::from(ip).into(),
        bits: 40,
    }
}

/// The link-local address that an interface with this MAC address gives itself (RFC 4291, appendix A).
pub fn link_local(mac: MacAddress) -> IpPrefix {
    let [a, b, c, d, e, f] = mac.0;
    let ip = [
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ];
    IpPrefix {
        ip: Ipv6Addr::from(ip).into(),
        bits: 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_specification() {
        let network = NetworkId(0x8056_c2e2_1c00_0001);
        let member = Address::from_u64(0x01_2345_6789);
        assert_eq!(
            rfc4193(network, member).to_string(),
            "fd80:56c2:e21c:0:199:9301:2345:6789/88"
        );
        assert_eq!(
            six_plane(network, member).to_string(),
            "fc9c:56c2:e301:2345:6789::1/40"
        );
        let mac = MacAddress([2, 0xd3, 0xa4, 0xa1, 0x78, 0x91]);
        assert_eq!(link_local(mac).to_string(), "fe80::d3:a4ff:fea1:7891/64");
    }
}
