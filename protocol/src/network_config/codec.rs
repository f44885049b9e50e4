//! The dictionary form of a network configuration (protocol specification 12.5).

use super::{Dns, NetworkConfig, Route, SingleSignOn};
use crate::credential::{Capability, CertificateOfMembership, CertificateOfOwnership, Tag};
use crate::dictionary::Dictionary;
use crate::endpoint::{decode_endpoint, decode_prefix, encode_endpoint, encode_prefix};
use crate::rule::decode_rules;
use crate::{Address, DecodeError, IpPrefix, NetworkId, Reader};

const FORMAT_VERSION: u64 = 7;
const OLDEST_FORMAT_VERSION: u64 = 6;
const MAX_NAME_LENGTH: usize = 127;
const MAX_CAPABILITIES: usize = 128;
const MAX_TAGS: usize = 128;
const MAX_OWNERSHIP: usize = 4;
const MAX_SPECIALISTS: usize = 256;
const MAX_ROUTES: usize = 128;
const MAX_ASSIGNED_IPS: usize = 32;
const MAX_RULES: usize = 1024;
const DNS_DOMAIN_LENGTH: usize = 128;
const DNS_SERVERS: usize = 4;
const SMALLEST_MTU: u64 = 1280;
const LARGEST_MTU: u64 = 10_000;

pub(super) fn encode(config: &NetworkConfig) -> Dictionary {
    let mut out = Dictionary::new();
    out.push_u64("v", FORMAT_VERSION);
    out.push("nwid", config.network.to_string());
    out.push_u64("ts", config.timestamp);
    out.push_u64("ctmd", config.credential_time_max_delta);
    out.push_u64("r", config.revision);
    out.push_address("id", config.issued_to);
    out.push_address("tt", config.remote_trace_target.unwrap_or(Address::NONE));
    out.push_u64("tl", config.remote_trace_level);
    out.push_u64("f", config.flags);
    out.push_u64("ml", u64::from(config.multicast_limit));
    out.push_u64("t", u64::from(config.public));
    out.push("n", truncated(&config.name, MAX_NAME_LENGTH));
    out.push_u64("mtu", u64::from(config.mtu));
    if let Some(membership) = &config.membership {
        out.push("C", encoded(|bytes| membership.encode(bytes)));
    }
    push_list(
        &mut out,
        "CAP",
        &config.capabilities,
        MAX_CAPABILITIES,
        Capability::encode,
    );
    push_list(&mut out, "TAG", &config.tags, MAX_TAGS, Tag::encode);
    push_list(
        &mut out,
        "COO",
        &config.ownership,
        MAX_OWNERSHIP,
        CertificateOfOwnership::encode,
    );
    push_list(
        &mut out,
        "S",
        &config.specialists,
        MAX_SPECIALISTS,
        |specialist, bytes| {
            bytes.extend_from_slice(&specialist.to_be_bytes());
        },
    );
    push_list(&mut out, "RT", &config.routes, MAX_ROUTES, encode_route);
    push_list(
        &mut out,
        "I",
        &config.assigned_ips,
        MAX_ASSIGNED_IPS,
        |prefix, bytes| {
            encode_prefix(Some(*prefix), bytes);
        },
    );
    push_list(&mut out, "R", &config.rules, MAX_RULES, |rule, bytes| {
        rule.encode(bytes)
    });
    out.push(
        "DNS",
        encoded(|bytes| encode_dns(config.dns.as_ref(), bytes)),
    );
    push_sso(&mut out, config.sso.as_ref());
    out
}

fn truncated(text: &str, length: usize) -> &[u8] {
    &text.as_bytes()[..text.len().min(length)]
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

/// Appends the concatenated items; an empty list has no record.
fn push_list<T>(
    out: &mut Dictionary,
    key: &str,
    items: &[T],
    limit: usize,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    if !items.is_empty() {
        out.push(
            key,
            encoded(|bytes| items.iter().take(limit).for_each(|item| write(item, bytes))),
        );
    }
}

fn encode_route(route: &Route, out: &mut Vec<u8>) {
    encode_prefix(Some(route.target), out);
    encode_prefix(route.via.map(|ip| IpPrefix { ip, bits: 0 }), out);
    out.extend_from_slice(&route.flags.to_be_bytes());
    out.extend_from_slice(&route.metric.to_be_bytes());
}

fn encode_dns(dns: Option<&Dns>, out: &mut Vec<u8>) {
    let domain = dns.map_or(&[][..], |dns| truncated(&dns.domain, DNS_DOMAIN_LENGTH - 1));
    out.extend_from_slice(domain);
    out.resize(DNS_DOMAIN_LENGTH, 0);
    let servers = dns.map_or(&[][..], |dns| &dns.servers);
    for slot in 0..DNS_SERVERS {
        encode_endpoint(servers.get(slot).copied(), out);
    }
}

fn push_sso(out: &mut Dictionary, sso: Option<&SingleSignOn>) {
    let Some(sso) = sso else {
        out.push_u64("ssov", 0);
        out.push_bool("ssoe", false);
        return;
    };
    out.push_u64("ssov", sso.version);
    out.push_bool("ssoe", sso.enabled);
    match sso.version {
        0 if sso.enabled => {
            out.push("aurl", sso.authentication_url.as_str());
            out.push_u64("aexpt", sso.authentication_expiry);
        }
        1 => {
            out.push("iurl", sso.issuer_url.as_str());
            out.push("ssoce", sso.central_url.as_str());
            out.push("sson", sso.nonce.as_str());
            out.push("ssos", sso.state.as_str());
            out.push("ssocid", sso.client_id.as_str());
            out.push("ssop", sso.provider.as_str());
        }
        _ => {}
    }
}

pub(super) fn decode(dictionary: &Dictionary) -> Result<NetworkConfig, DecodeError> {
    let number = |key| dictionary.get_u64(key).unwrap_or(0);
    let bytes = |key| dictionary.get(key).unwrap_or_default();
    if number("v") < OLDEST_FORMAT_VERSION {
        return Err(DecodeError::Invalid("configuration: format version"));
    }
    let network = NetworkId(number("nwid"));
    if network.0 == 0 {
        return Err(DecodeError::Invalid("configuration: network id"));
    }
    let issued_to = Address::from_u64(number("id"));
    if issued_to == Address::NONE {
        return Err(DecodeError::Invalid("configuration: member address"));
    }
    let mut config = NetworkConfig::new(network, issued_to);
    config.timestamp = number("ts");
    config.credential_time_max_delta = number("ctmd");
    config.revision = number("r");
    let trace_target = Address::from_u64(number("tt"));
    config.remote_trace_target = (trace_target != Address::NONE).then_some(trace_target);
    config.remote_trace_level = number("tl");
    config.flags = number("f");
    config.multicast_limit = number("ml") as u32;
    config.public = number("t") == 1;
    let name = bytes("n");
    config.name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME_LENGTH)]).into_owned();
    if let Some(mtu) = dictionary.get_u64("mtu") {
        config.mtu = mtu.clamp(SMALLEST_MTU, LARGEST_MTU) as u16;
    }
    if !bytes("C").is_empty() {
        let membership = CertificateOfMembership::decode(&mut Reader::new(bytes("C")))?;
        config.membership = Some(membership);
    }
    // Only here a broken item ends the list and leaves the rest of the configuration as it is.
    config.capabilities = read_while_good(bytes("CAP"), MAX_CAPABILITIES, Capability::decode);
    config.capabilities.sort_by_key(|capability| capability.id);
    config.tags = read_while_good(bytes("TAG"), MAX_TAGS, Tag::decode);
    config.tags.sort_by_key(|tag| tag.id);
    config.ownership = read_list(bytes("COO"), MAX_OWNERSHIP, |r| {
        CertificateOfOwnership::decode(r).map(Some)
    })?;
    let (specialists, _) = bytes("S").as_chunks::<8>();
    config.specialists = specialists
        .iter()
        .take(MAX_SPECIALISTS)
        .map(|s| u64::from_be_bytes(*s))
        .collect();
    config.routes = read_list(bytes("RT"), MAX_ROUTES, decode_route)?;
    config.assigned_ips = read_list(bytes("I"), MAX_ASSIGNED_IPS, decode_prefix)?;
    config.rules = decode_rules(bytes("R"), MAX_RULES)?;
    if !bytes("DNS").is_empty() {
        config.dns = decode_dns(bytes("DNS"))?;
    }
    config.sso = decode_sso(dictionary);
    Ok(config)
}

/// Reads items to the end of the input or to the limit; null items are passed over.
fn read_list<T>(
    bytes: &[u8],
    limit: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<Option<T>, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut items = Vec::new();
    while items.len() < limit && !reader.is_empty() {
        items.extend(read(&mut reader)?);
    }
    Ok(items)
}

fn read_while_good<T>(
    bytes: &[u8],
    limit: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Vec<T> {
    let mut reader = Reader::new(bytes);
    let next = || {
        (!reader.is_empty())
            .then(|| read(&mut reader).ok())
            .flatten()
    };
    core::iter::from_fn(next).take(limit).collect()
}

fn decode_route(reader: &mut Reader<'_>) -> Result<Option<Route>, DecodeError> {
    let target = decode_prefix(reader)?;
    let via = decode_endpoint(reader)?.map(|via| via.ip());
    let flags = reader.u16("route flags")?;
    let metric = reader.u16("route metric")?;
    Ok(target.map(|target| Route {
        target,
        via,
        flags,
        metric,
    }))
}

fn decode_dns(bytes: &[u8]) -> Result<Option<Dns>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let domain = reader.bytes(DNS_DOMAIN_LENGTH, "DNS domain")?;
    let domain = domain[..DNS_DOMAIN_LENGTH - 1]
        .split(|b| *b == 0)
        .next()
        .unwrap_or_default();
    let mut dns = Dns {
        domain: String::from_utf8_lossy(domain).into_owned(),
        servers: Vec::new(),
    };
    for _ in 0..DNS_SERVERS {
        dns.servers.extend(decode_endpoint(&mut reader)?);
    }
    let is_set = !dns.domain.is_empty() || !dns.servers.is_empty();
    Ok(is_set.then_some(dns))
}

fn decode_sso(dictionary: &Dictionary) -> Option<SingleSignOn> {
    let text = |key| dictionary.get_text(key).unwrap_or_default();
    let mut sso = SingleSignOn {
        version: dictionary.get_u64("ssov").unwrap_or(0),
        enabled: dictionary.get_bool("ssoe").unwrap_or(false),
        ..SingleSignOn::default()
    };
    match (sso.version, sso.enabled) {
        (0, false) => return None,
        (0, true) => {
            sso.authentication_url = text("aurl");
            sso.authentication_expiry = dictionary.get_u64("aexpt").unwrap_or(0);
        }
        (1, true) => {
            sso.issuer_url = text("iurl");
            sso.central_url = text("ssoce");
            sso.nonce = text("sson");
            sso.state = text("ssos");
            sso.client_id = text("ssocid");
            sso.provider = dictionary.get_text("ssop").unwrap_or(sso.provider);
        }
        // As the reference reads it: nothing but what is said above, and no provider.
        (1, false) => sso.provider = String::new(),
        _ => {}
    }
    Some(sso)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Dictionary {
        NetworkConfig::new(NetworkId(1), Address::from_u64(2)).to_dictionary()
    }

    #[test]
    fn a_broken_tag_ends_the_list_but_not_the_configuration() {
        let mut dictionary = minimal();
        dictionary.push("TAG", vec![1; 20]);
        assert_eq!(
            NetworkConfig::from_dictionary(&dictionary).map(|c| c.tags),
            Ok(Vec::new())
        );
        dictionary.push("COO", vec![1; 20]);
        assert!(NetworkConfig::from_dictionary(&dictionary).is_err());
    }

    #[test]
    fn lists_are_cut_at_their_limits() {
        let mut config = NetworkConfig::new(NetworkId(1), Address::from_u64(2));
        let ip = "10.0.0.1/8".parse().unwrap();
        config.assigned_ips = vec![ip; 40];
        config.specialists = vec![5; 300];
        config.routes = vec![
            Route {
                target: ip,
                via: None,
                flags: 0,
                metric: 0
            };
            200
        ];
        config.name = "x".repeat(200);
        let read = NetworkConfig::from_dictionary(&config.to_dictionary()).unwrap();
        assert_eq!((read.assigned_ips.len(), read.specialists.len()), (32, 256));
        assert_eq!((read.routes.len(), read.name.len()), (128, 127));
    }

    #[test]
    fn default_mtu_stands_in_for_none() {
        let dictionary = Dictionary::decode(b"v=6\nnwid=1\nid=2");
        let config = NetworkConfig::from_dictionary(&dictionary);
        assert_eq!(
            config,
            Ok(NetworkConfig::new(NetworkId(1), Address::from_u64(2)))
        );
    }
}
