//! `verbs.json`: every example is read, compared field by field, and written again. What nodes do when such packets
//! arrive is tested elsewhere.

use std::net::SocketAddr;

use protocol::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, Revocation, Tag,
};
use protocol::dictionary::Dictionary;
use protocol::endpoint::endpoint_text;
use protocol::network_config::ConfigChunk;
use protocol::verb::{
    ErrorBody, ExtFrame, Frame, GatherResult, Hello, InReply, MulticastFrame, MulticastGather,
    NetworkConfigAcknowledgement, NetworkConfigRequest, NetworkCredentials, OkHello,
    OkMulticastFrame, PathNegotiationRequest, ReceiptAcknowledgement, Rendezvous, UserMessage,
    decode_direct_paths, decode_likes, decode_qos, decode_traces, decode_whois,
    encode_direct_paths, encode_like, encode_qos, encode_traces,
};
use protocol::world::World;
use protocol::{Address, Identity, MulticastGroup, Reader, Verb};
use serde_json::{Map, Value, json};

use crate::load::{bytes, list, number, string};

const FILE: &str = "verbs.json";

/// Fields in the words of the golden data, and the payload written again.
type Shown = (Value, Vec<u8>);

#[test]
fn examples() {
    let Some(data) = crate::load::json(FILE) else {
        return;
    };
    for case in list(&data, "examples") {
        let name = format!("{} ({})", string(case, "what"), string(case, "origin"));
        let plain = bytes(case, "plain");
        let verb = Verb::from_byte(plain[0]).expect("a known verb");
        assert_eq!(u64::from(verb as u8), number(case, "verb"), "{name}");
        let (fields, written) = show(verb, &plain[1..]);
        assert_eq!(fields, case["fields"], "{name}");
        assert_eq!(hex::encode(written), hex::encode(&plain[1..]), "{name}");
    }
}

fn show(verb: Verb, payload: &[u8]) -> Shown {
    let mut out = Vec::new();
    let fields = match verb {
        Verb::Nop => json!({}),
        Verb::Hello => show_hello(payload, &mut out),
        Verb::Error => show_error(payload, &mut out),
        Verb::Ok => show_ok(payload, &mut out),
        Verb::Whois => {
            let addresses = decode_whois(payload).unwrap();
            out.extend(addresses.iter().flat_map(|a| a.to_bytes()));
            json!({ "addresses": texts(&addresses) })
        }
        Verb::Rendezvous => {
            let rendezvous = Rendezvous::decode(payload).unwrap();
            rendezvous.encode(&mut out);
            json!({
                "flags": rendezvous.flags,
                "address": rendezvous.peer.to_string(),
                "port": rendezvous.endpoint.port(),
                "ip": rendezvous.endpoint.ip().to_string(),
            })
        }
        Verb::Frame => {
            let frame = Frame::decode(payload).unwrap();
            frame.encode(&mut out);
            json!({
                "network": frame.network.to_string(),
                "ethertype": frame.ethertype,
                "frame": hex::encode(frame.payload),
            })
        }
        Verb::ExtFrame => show_ext_frame(payload, &mut out),
        Verb::Echo => {
            out.extend_from_slice(payload);
            json!({ "payload": hex::encode(payload) })
        }
        Verb::MulticastLike => show_likes(payload, &mut out),
        Verb::NetworkCredentials => show_credentials(payload, &mut out),
        Verb::NetworkConfigRequest => {
            let request = NetworkConfigRequest::decode(payload).unwrap();
            request.encode(&mut out);
            json!({
                "network": request.network.to_string(),
                "metadata": dictionary(&request.metadata),
                "have_revision": request.have_revision,
                "have_timestamp": request.have_timestamp,
            })
        }
        Verb::NetworkConfig => Value::Object(show_chunk(payload, &mut out)),
        Verb::MulticastGather => show_gather(payload, &mut out),
        Verb::MulticastFrame => show_multicast_frame(payload, &mut out),
        Verb::PushDirectPaths => show_direct_paths(payload, &mut out),
        Verb::Ack => {
            let acknowledgement = ReceiptAcknowledgement::decode(payload).unwrap();
            acknowledgement.encode(&mut out);
            json!({ "bytes": acknowledgement.bytes })
        }
        Verb::QosMeasurement => {
            let records = decode_qos(payload);
            records
                .iter()
                .for_each(|record| encode_qos(record, &mut out));
            let records: Vec<_> = records
                .iter()
                .map(|r| json!({ "packet_id": hex64(r.packet.0), "held_ms": r.holding_time_ms }))
                .collect();
            json!({ "records": records })
        }
        Verb::UserMessage => {
            let message = UserMessage::decode(payload).unwrap();
            message.encode(&mut out);
            json!({ "type_id": hex64(message.type_id), "data": hex::encode(message.data) })
        }
        Verb::RemoteTrace => {
            let traces = decode_traces(payload);
            encode_traces(&traces, &mut out);
            json!({ "traces": traces.iter().map(records).collect::<Vec<_>>() })
        }
        Verb::PathNegotiationRequest => {
            let request = PathNegotiationRequest::decode(payload).unwrap();
            request.encode(&mut out);
            json!({ "utility": request.utility })
        }
    };
    (fields, out)
}

fn hex64(number: u64) -> String {
    format!("{number:016x}")
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn endpoint(endpoint: Option<SocketAddr>) -> String {
    endpoint.map_or_else(String::new, endpoint_text)
}

fn records(dictionary: &Dictionary) -> Value {
    let record = |(key, value): &(String, Vec<u8>)| json!([key, hex::encode(value)]);
    dictionary.records().iter().map(record).collect()
}

fn dictionary(encoded: &[u8]) -> Value {
    let dictionary = Dictionary::decode(encoded);
    assert_eq!(dictionary.encode(), encoded);
    records(&dictionary)
}

fn insert(fields: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    fields.insert(key.to_owned(), value.into());
}

fn insert_group(fields: &mut Map<String, Value>, group: &MulticastGroup) {
    insert(fields, "group_mac", hex::encode(group.mac.0));
    insert(fields, "group_adi", format!("{:08x}", group.adi));
}

fn insert_membership(fields: &mut Map<String, Value>, com: Option<&CertificateOfMembership>) {
    if let Some(com) = com {
        insert(fields, "com", membership(com));
    }
}

fn show_hello(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let (hello, masked_from) = Hello::decode(payload).unwrap();
    let (moons, features) = Hello::decode_section(&payload[masked_from..]).unwrap();
    hello.encode(out);
    assert_eq!(out.len(), masked_from);
    assert_eq!(features, None);
    Hello::encode_section(&moons, features, out);
    let (major, minor, revision) = hello.software_version;
    let moon = |m: &protocol::verb::HelloMoon| json!({ "type": 127, "id": hex64(m.id), "timestamp": m.timestamp });
    json!({
        "protocol": hello.protocol_version,
        "version": [u16::from(major), u16::from(minor), revision],
        "timestamp": hello.timestamp,
        "identity": hello.identity.to_string(),
        "sent_to": endpoint(hello.sent_to),
        "planet_id": hex64(hello.planet_id),
        "planet_timestamp": hello.planet_timestamp,
        "moons": moons.iter().map(moon).collect::<Vec<_>>(),
    })
}

fn reply_fields(reply: &InReply) -> Map<String, Value> {
    let mut fields = Map::new();
    insert(&mut fields, "in_re_verb", reply.verb);
    insert(&mut fields, "in_re_id", hex64(reply.packet.0));
    fields
}

fn show_error(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let (reply, body) = InReply::decode(payload).unwrap();
    let error = ErrorBody::decode(body).unwrap();
    reply.encode(out);
    error.encode(out);
    let mut fields = reply_fields(&reply);
    insert(&mut fields, "code", error.code);
    if let Some(network) = error.network {
        insert(&mut fields, "network", network.to_string());
    }
    if let Some(metadata) = &error.metadata {
        insert(&mut fields, "data", dictionary(metadata));
    }
    assert_eq!(error.group, None);
    Value::Object(fields)
}

fn show_ok(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let (reply, body) = InReply::decode(payload).unwrap();
    reply.encode(out);
    let mut fields = reply_fields(&reply);
    match Verb::from_byte(reply.verb).expect("a known verb") {
        Verb::Hello => show_ok_hello(body, &mut fields, out),
        Verb::Whois => {
            let mut reader = Reader::new(body);
            let mut identities = Vec::new();
            while !reader.is_empty() {
                identities.push(Identity::decode(&mut reader).unwrap());
            }
            out.extend(identities.iter().flat_map(Identity::to_bytes));
            insert(&mut fields, "identities", texts(&identities));
        }
        Verb::ExtFrame => {
            let network = Reader::new(body).network_id("network").unwrap();
            out.extend_from_slice(&network.0.to_be_bytes());
            insert(&mut fields, "network", network.to_string());
        }
        Verb::Echo => {
            insert(&mut fields, "echo", hex::encode(body));
            if body.len() == 16 {
                let answer = NetworkConfigAcknowledgement::decode(body).unwrap();
                answer.encode(out);
                let key = |name| format!("{name}_if_answer_to_NETWORK_CONFIG");
                insert(&mut fields, &key("network"), answer.network.to_string());
                insert(&mut fields, &key("update_id"), hex64(answer.update_id));
            } else {
                out.extend_from_slice(body);
            }
        }
        Verb::NetworkConfigRequest => fields.extend(show_chunk(body, out)),
        Verb::MulticastGather => {
            let result = GatherResult::decode(body).unwrap();
            result.encode(out);
            insert(&mut fields, "network", result.network.to_string());
            insert_group(&mut fields, &result.group);
            insert_members(&mut fields, &result);
        }
        Verb::MulticastFrame => {
            let answer = OkMulticastFrame::decode(body).unwrap();
            answer.encode(out);
            insert(&mut fields, "network", answer.network.to_string());
            insert_group(&mut fields, &answer.group);
            let gathered = answer.gathered.expect("gather results");
            assert_eq!(
                (gathered.network, gathered.group),
                (answer.network, answer.group)
            );
            insert(&mut fields, "flags", 2);
            insert_members(&mut fields, &gathered);
        }
        other => panic!("OK({other:?})"),
    }
    Value::Object(fields)
}

fn insert_members(fields: &mut Map<String, Value>, result: &GatherResult) {
    insert(fields, "total", result.total);
    insert(fields, "members", texts(&result.members));
}

fn show_ok_hello(body: &[u8], fields: &mut Map<String, Value>, out: &mut Vec<u8>) {
    let mut ok = OkHello::decode(body).unwrap();
    let worlds = World::decode_all(&ok.worlds).unwrap();
    ok.worlds = worlds.iter().flat_map(World::to_bytes).collect();
    ok.encode(out);
    let (major, minor, revision) = ok.software_version;
    insert(fields, "timestamp_echo", ok.timestamp_echo);
    insert(fields, "protocol", ok.protocol_version);
    insert(
        fields,
        "version",
        vec![u16::from(major), u16::from(minor), revision],
    );
    insert(fields, "seen_at", endpoint(ok.received_from));
    let root = |root: &protocol::world::Root| {
        let endpoints: Vec<_> = root.endpoints.iter().copied().map(endpoint_text).collect();
        json!({ "identity": root.identity.to_string(), "endpoints": endpoints })
    };
    let world = |world: &World| {
        json!({
            "type": world.kind as u8,
            "id": hex64(world.id),
            "timestamp": world.timestamp,
            "roots": world.roots.iter().map(root).collect::<Vec<_>>(),
        })
    };
    insert(
        fields,
        "worlds",
        worlds.iter().map(world).collect::<Vec<_>>(),
    );
}

fn show_ext_frame(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let frame = ExtFrame::decode(payload).unwrap();
    frame.encode(out);
    let mut fields = Map::new();
    insert(&mut fields, "network", frame.network.to_string());
    insert(
        &mut fields,
        "flags",
        frame.flags | u8::from(frame.membership.is_some()),
    );
    insert_membership(&mut fields, frame.membership.as_ref());
    insert(&mut fields, "to", hex::encode(frame.destination.0));
    insert(&mut fields, "frm", hex::encode(frame.source.0));
    insert(&mut fields, "ethertype", frame.ethertype);
    insert(&mut fields, "frame", hex::encode(frame.payload));
    Value::Object(fields)
}

fn show_likes(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let likes = decode_likes(payload);
    likes.iter().for_each(|like| encode_like(like, out));
    let like = |(network, group): &protocol::verb::Like| {
        json!({
            "network": network.to_string(),
            "mac": hex::encode(group.mac.0),
            "adi": format!("{:08x}", group.adi),
        })
    };
    json!({ "groups": likes.iter().map(like).collect::<Vec<_>>() })
}

fn show_chunk(payload: &[u8], out: &mut Vec<u8>) -> Map<String, Value> {
    let chunk = ConfigChunk::decode(payload).unwrap();
    chunk.encode(out);
    let signed = chunk.signed.as_ref().expect("the signed form");
    let mut fields = Map::new();
    insert(&mut fields, "network", chunk.network.to_string());
    insert(&mut fields, "chunk_length", chunk.data.len());
    insert(&mut fields, "dictionary", dictionary(&chunk.data));
    insert(&mut fields, "flags", signed.flags);
    insert(&mut fields, "update_id", hex64(signed.update_id));
    insert(&mut fields, "total_length", signed.total_length);
    insert(&mut fields, "chunk_index", signed.index);
    insert(&mut fields, "signature_type", 1);
    insert(&mut fields, "signature", hex::encode(signed.signature.0));
    fields
}

fn show_gather(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let gather = MulticastGather::decode(payload).unwrap();
    gather.encode(out);
    let mut fields = Map::new();
    insert(&mut fields, "network", gather.network.to_string());
    insert(&mut fields, "flags", u8::from(gather.membership.is_some()));
    insert_group(&mut fields, &gather.group);
    insert(&mut fields, "limit", gather.limit);
    insert_membership(&mut fields, gather.membership.as_ref());
    Value::Object(fields)
}

fn show_multicast_frame(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let frame = MulticastFrame::decode(payload).unwrap();
    frame.encode(out);
    let mut fields = Map::new();
    insert(&mut fields, "network", frame.network.to_string());
    let mut flags = 0;
    if let Some(limit) = frame.gather_limit {
        flags |= 2;
        insert(&mut fields, "gather_limit", limit);
    }
    if let Some(source) = frame.source {
        flags |= 4;
        insert(&mut fields, "source_mac", hex::encode(source.0));
    }
    if frame.replicate {
        flags |= 8;
    }
    insert(&mut fields, "flags", flags);
    insert_group(&mut fields, &frame.group);
    insert(&mut fields, "ethertype", frame.ethertype);
    insert(&mut fields, "frame", hex::encode(frame.payload));
    assert_eq!(frame.membership, None);
    Value::Object(fields)
}

fn show_direct_paths(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let paths = decode_direct_paths(payload).unwrap();
    encode_direct_paths(&paths, out);
    let path = |path: &protocol::verb::DirectPath| {
        json!({
            "flags": path.flags,
            "type": if path.endpoint.is_ipv4() { 4 } else { 6 },
            "address": path.endpoint.ip().to_string(),
            "port": path.endpoint.port(),
        })
    };
    json!({ "paths": paths.iter().map(path).collect::<Vec<_>>() })
}

fn show_credentials(payload: &[u8], out: &mut Vec<u8>) -> Value {
    let credentials = NetworkCredentials::decode(payload).unwrap();
    credentials.encode(out);
    fn all<T>(items: &[T], show: impl Fn(&T) -> Value) -> Vec<Value> {
        items.iter().map(show).collect()
    }
    json!({
        "coms": all(&credentials.memberships, membership),
        "capabilities": all(&credentials.capabilities, capability),
        "tags": all(&credentials.tags, tag),
        "revocations": all(&credentials.revocations, revocation),
        "ownership": all(&credentials.ownership, ownership),
    })
}

fn membership(com: &CertificateOfMembership) -> Value {
    let qualifiers = com.qualifiers.iter();
    let qualifiers: Vec<_> = qualifiers
        .map(|q| json!([hex64(q.id), hex64(q.value), hex64(q.max_delta)]))
        .collect();
    let signer = (com.signer != Address::NONE).then(|| com.signer.to_string());
    json!({ "qualifiers": qualifiers, "signed_by": signer })
}

fn capability(capability: &Capability) -> Value {
    let mut rules = Vec::new();
    capability
        .rules
        .iter()
        .for_each(|rule| rule.encode(&mut rules));
    let custody = capability.custody.iter();
    let custody: Vec<_> = custody
        .map(|c| json!([c.to.to_string(), c.from.to_string()]))
        .collect();
    json!({
        "network": capability.network.to_string(),
        "timestamp": capability.timestamp,
        "id": capability.id,
        "rules": hex::encode(rules),
        "max_custody": capability.max_custody_chain,
        "custody": custody,
    })
}

fn tag(tag: &Tag) -> Value {
    json!({
        "network": tag.network.to_string(),
        "timestamp": tag.timestamp,
        "id": tag.id,
        "value": tag.value,
        "issued_to": tag.issued_to.to_string(),
        "signed_by": tag.signer.to_string(),
    })
}

fn revocation(revocation: &Revocation) -> Value {
    json!({
        "id": revocation.id,
        "network": revocation.network.to_string(),
        "credential_id": revocation.credential_id,
        "threshold": revocation.threshold,
        "flags": revocation.flags,
        "target": revocation.target.to_string(),
        "signed_by": revocation.signer.to_string(),
        "type": revocation.kind,
    })
}

fn ownership(certificate: &CertificateOfOwnership) -> Value {
    let things = certificate.things.iter();
    let things: Vec<_> = things
        .map(|t| json!([t.kind, hex::encode(t.value)]))
        .collect();
    json!({
        "network": certificate.network.to_string(),
        "timestamp": certificate.timestamp,
        "flags": certificate.flags,
        "id": certificate.id,
        "things": things,
        "issued_to": certificate.issued_to.to_string(),
        "signed_by": certificate.signer.to_string(),
    })
}
