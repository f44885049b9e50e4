//! Whatever bytes arrive, reading them ends with a value or an error, and what was read can be written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use protocol::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, OwnedThing, Revocation, Tag,
};
use protocol::dictionary::Dictionary;
use protocol::endpoint::{decode_endpoint, decode_prefix};
use protocol::network_config::{
    ChunkSignature, ConfigChunk, Dns, NetworkConfig, RequestMetadata, Route,
};
use protocol::rule::{Rule, RuleKind, decode_rules, read_rules};
use protocol::verb::{
    DirectPath, ErrorBody, ErrorCode, ExtFrame, Features, Frame, GatherResult, Hello, HelloMoon,
    InReply, MulticastFrame, MulticastGather, NetworkConfigAcknowledgement, NetworkConfigRequest,
    NetworkCredentials, OkHello, OkMulticastFrame, PathNegotiationRequest, QosRecord,
    ReceiptAcknowledgement, Rendezvous, UserMessage, decode_direct_paths, decode_likes, decode_qos,
    decode_traces, decode_whois, encode_direct_paths, encode_like, encode_qos, encode_traces,
};
use protocol::world::World;
use protocol::{
    Address, Identity, MacAddress, MulticastGroup, NetworkId, PacketId, Reader, SecretIdentity,
    Signature,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Reads `bytes` as everything there is; values that could be read must be read the same from what they are written as.
fn read_as_everything(bytes: &[u8]) {
    macro_rules! payloads {
        ($($kind:ty),*) => {$(
            if let Ok(value) = <$kind>::decode(bytes) {
                let mut again = Vec::new();
                value.encode(&mut again);
                assert_eq!(<$kind>::decode(&again).as_ref(), Ok(&value));
            }
        )*};
    }
    payloads!(
        OkHello,
        ErrorBody,
        Rendezvous,
        Frame<'_>,
        ExtFrame<'_>,
        NetworkCredentials,
        NetworkConfigRequest,
        NetworkConfigAcknowledgement,
        MulticastGather,
        GatherResult,
        OkMulticastFrame,
        MulticastFrame<'_>,
        PathNegotiationRequest,
        ReceiptAcknowledgement,
        UserMessage<'_>,
        ConfigChunk
    );
    macro_rules! credentials {
        ($($kind:ty),*) => {$(
            if let Ok(value) = <$kind>::decode(&mut Reader::new(bytes)) {
                let mut again = Vec::new();
                value.encode(&mut again);
                assert_eq!(<$kind>::decode(&mut Reader::new(&again)).as_ref(), Ok(&value));
                value.signed_bytes();
            }
        )*};
    }
    credentials!(
        CertificateOfMembership,
        Capability,
        Tag,
        CertificateOfOwnership,
        Revocation
    );
    if let Ok((hello, masked_from)) = Hello::decode(bytes) {
        assert!(masked_from <= bytes.len());
        let mut again = Vec::new();
        hello.encode(&mut again);
        assert_eq!(Hello::decode(&again), Ok((hello, again.len())));
    }
    if let Ok((moons, features)) = Hello::decode_section(bytes) {
        let mut again = Vec::new();
        Hello::encode_section(&moons, features, &mut again);
        assert_eq!(Hello::decode_section(&again), Ok((moons, features)));
    }
    if let Ok(worlds) = World::decode_all(bytes) {
        let again: Vec<_> = worlds.iter().flat_map(World::to_bytes).collect();
        assert_eq!(World::decode_all(&again), Ok(worlds));
    }
    if let Ok(rules) = decode_rules(bytes, 1024) {
        let mut again = Vec::new();
        rules.iter().for_each(|rule| rule.encode(&mut again));
        assert_eq!(decode_rules(&again, 1024), Ok(rules));
    }
    if let Ok(paths) = decode_direct_paths(bytes) {
        let mut again = Vec::new();
        encode_direct_paths(&paths, &mut again);
        assert_eq!(decode_direct_paths(&again), Ok(paths));
    }
    let dictionary = Dictionary::decode(bytes);
    assert_eq!(Dictionary::decode(&dictionary.encode()), dictionary);
    for (key, _) in dictionary.records() {
        dictionary.get_u64(key);
        dictionary.get_bool(key);
    }
    if let Ok(config) = NetworkConfig::from_dictionary(&dictionary) {
        let again = NetworkConfig::from_dictionary(&config.to_dictionary());
        // Numbers, lists and flags come back; odd text may be replaced and cut again.
        let again = again.map(|again| (again.network, again.routes, again.rules, again.mtu));
        assert_eq!(
            again,
            Ok((config.network, config.routes, config.rules, config.mtu))
        );
    }
    let _ = InReply::decode(bytes);
    let _ = Identity::decode(&mut Reader::new(bytes));
    let _ = decode_endpoint(&mut Reader::new(bytes));
    let _ = decode_prefix(&mut Reader::new(bytes));
    let _ = read_rules(&mut Reader::new(bytes), 64);
    let _ = decode_whois(bytes);
    decode_likes(bytes);
    decode_qos(bytes);
    decode_traces(bytes);
}

/// One well-formed input of every kind.
fn samples(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let controller = SecretIdentity::generate(rng);
    let member = controller.public().clone();
    let to = member.address();
    let network = NetworkId(to.to_u64() << 24 | 1);
    let group = MulticastGroup {
        mac: MacAddress::BROADCAST,
        adi: 7,
    };
    let endpoint = "[fd00::1]:9993".parse().unwrap();
    let rules: Vec<_> = (0..64)
        .flat_map(|number| decode_rules(&[&[number, 19][..], &[5; 19]].concat(), 1).unwrap())
        .collect();

    let membership = CertificateOfMembership::issue(&controller, network, &member, 1, 2);
    let capability = Capability::issue(&controller, network, to, 1, 2, rules[..40].to_vec());
    let tag = Tag::issue(&controller, network, to, 1, 2, 3);
    let things = vec![
        OwnedThing {
            kind: 2,
            value: [1; 16]
        };
        3
    ];
    let ownership = CertificateOfOwnership::issue(&controller, network, to, 1, 2, things);
    let kind = protocol::credential::CredentialKind::Tag;
    let revocation = Revocation::issue(&controller, network, to, kind, 1, 2, 3, 1);
    let credentials = NetworkCredentials {
        memberships: vec![membership.clone(); 2],
        capabilities: vec![capability.clone()],
        tags: vec![tag; 2],
        revocations: vec![revocation],
        ownership: vec![ownership.clone()],
    };
    let prefix = "10.0.0.1/8".parse().unwrap();
    let config = NetworkConfig {
        membership: Some(membership.clone()),
        capabilities: vec![capability.clone()],
        tags: vec![tag],
        ownership: vec![ownership.clone()],
        specialists: vec![1, 2],
        routes: vec![Route {
            target: prefix,
            via: Some(prefix.ip),
            flags: 1,
            metric: 2,
        }],
        assigned_ips: vec![prefix],
        rules: rules.clone(),
        dns: Some(Dns {
            domain: "a.example".to_owned(),
            servers: vec![endpoint],
        }),
        ..NetworkConfig::new(network, to)
    };
    let signature = Signature([3; 96]);
    let signed = Some(ChunkSignature {
        flags: 1,
        update_id: 2,
        total_length: 9,
        index: 0,
        signature,
    });
    let kind = protocol::world::WorldKind::Moon;
    let moon = World::of_root(kind, 1, 2, &controller, vec![endpoint]);
    let hello = Hello {
        protocol_version: 12,
        software_version: (1, 14, 1),
        timestamp: 5,
        identity: member,
        sent_to: Some(endpoint),
        planet_id: 6,
        planet_timestamp: 7,
    };
    let ok_hello = OkHello {
        timestamp_echo: 1,
        protocol_version: 12,
        software_version: (1, 14, 1),
        received_from: Some(endpoint),
        worlds: moon.to_bytes(),
        features: Some(Features::default()),
    };
    let error = ErrorBody {
        metadata: Some(b"aV=0".to_vec()),
        ..ErrorBody::new(ErrorCode::NetworkAuthenticationRequired, Some(network))
    };
    let ext_frame = ExtFrame {
        network,
        flags: 0x10,
        membership: Some(membership.clone()),
        destination: MacAddress::BROADCAST,
        source: MacAddress([2; 6]),
        ethertype: 0x800,
        payload: b"frame",
    };
    let multicast = MulticastFrame {
        network,
        membership: Some(membership.clone()),
        gather_limit: Some(3),
        source: Some(MacAddress([2; 6])),
        replicate: true,
        group,
        ethertype: 0x800,
        payload: b"frame",
    };
    let gathered = GatherResult {
        network,
        group,
        total: 5,
        members: vec![to; 3],
    };
    let metadata = RequestMetadata {
        platform: "linux/x86_64".to_owned(),
        auth: None,
    };
    let metadata = metadata.to_dictionary().encode();
    let request = NetworkConfigRequest {
        network,
        metadata,
        have_revision: 1,
        have_timestamp: 2,
    };
    let gather = MulticastGather {
        network,
        group,
        limit: 9,
        membership: Some(membership.clone()),
    };
    let answer = OkMulticastFrame {
        network,
        group,
        membership: Some(membership.clone()),
        gathered: Some(gathered.clone()),
    };
    let moons = [HelloMoon {
        id: 1,
        timestamp: 2,
    }; 3];
    let rendezvous = Rendezvous {
        flags: 0,
        peer: to,
        endpoint,
    };
    let record = QosRecord {
        packet: PacketId(5),
        holding_time_ms: 6,
    };

    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    vec![
        written(&|out| credentials.encode(out)),
        written(&|out| membership.encode(out)),
        written(&|out| capability.encode(out)),
        written(&|out| tag.encode(out)),
        written(&|out| ownership.encode(out)),
        written(&|out| revocation.encode(out)),
        written(&|out| rules.iter().for_each(|rule| rule.encode(out))),
        config.to_dictionary().encode(),
        written(&|out| {
            ConfigChunk {
                network,
                data: b"v=7".to_vec(),
                signed: signed.clone(),
            }
            .encode(out);
        }),
        moon.to_bytes(),
        written(&|out| hello.encode(out)),
        written(&|out| Hello::encode_section(&moons, Some(Features::default()), out)),
        written(&|out| ok_hello.encode(out)),
        written(&|out| error.encode(out)),
        written(&|out| ext_frame.encode(out)),
        written(&|out| multicast.encode(out)),
        written(&|out| gathered.encode(out)),
        written(&|out| request.encode(out)),
        written(&|out| gather.encode(out)),
        written(&|out| answer.encode(out)),
        written(&|out| rendezvous.encode(out)),
        written(&|out| encode_direct_paths(&[DirectPath { flags: 2, endpoint }; 3], out)),
        written(&|out| encode_like(&(network, group), out)),
        written(&|out| encode_qos(&record, out)),
        written(&|out| encode_traces(&[Dictionary::decode(b"event=2006\na=b")], out)),
    ]
}

#[test]
fn random_bytes() {
    let mut rng = StdRng::seed_from_u64(1);
    for round in 0..20_000 {
        let mut bytes = vec![0; round % 300];
        rng.fill_bytes(&mut bytes);
        // Small numbers make counts and lengths that are sometimes right.
        if round % 2 == 0 {
            bytes.iter_mut().for_each(|byte| *byte %= 8);
        }
        read_as_everything(&bytes);
    }
}

#[test]
fn cut_and_altered_bytes() {
    let mut rng = StdRng::seed_from_u64(2);
    for sample in samples(&mut rng) {
        read_as_everything(&sample);
        for length in 0..sample.len().min(1200) {
            read_as_everything(&sample[..length]);
        }
        for _ in 0..1000 {
            let mut altered = sample.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..altered.len());
                altered[at] = if rng.random() {
                    rng.random()
                } else {
                    rng.random_range(0..9)
                };
            }
            read_as_everything(&altered);
        }
    }
}

#[test]
fn announced_sizes_beyond_the_input_are_refused() {
    let rule = Rule::new(RuleKind::Unknown(60));
    assert_eq!(rule.type_number(), 60);
    assert!(read_rules(&mut Reader::new(&[0; 10]), usize::MAX).is_err());
    assert!(decode_direct_paths(&[0xff; 40]).is_err());
    assert!(Hello::decode_section(&[0xff; 40]).is_err());
    assert!(GatherResult::decode(&[0xff; 40]).is_err());
    assert_eq!(decode_whois(&[1; 7]), Ok(vec![Address::from_bytes([1; 5])]));
}
