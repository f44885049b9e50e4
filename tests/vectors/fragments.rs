//! `fragments.json`: large packets in several datagrams.

use protocol::packet::{self, FragmentView, PacketView};
use protocol::{PacketId, SecretIdentity, SessionKeys, SharedKey, Suite};
use serde_json::Value;

use crate::join::Joiner;
use crate::load::{array, boolean, bytes, json, list, number, string};
use crate::packets::suite;

const FILE: &str = "fragments.json";

fn datagrams(case: &Value) -> Vec<Vec<u8>> {
    list(case, "datagrams")
        .iter()
        .map(|text| hex::decode(text.as_str().unwrap()).unwrap())
        .collect()
}

fn keys(case: &Value) -> SessionKeys {
    SessionKeys::new(&SharedKey(array(case, "key")))
}

#[test]
fn packets_are_cut_as_the_reference_cuts_them() {
    let Some(data) = json(FILE) else { return };
    let identity = |name| {
        string(&data["identities"], name)
            .parse::<SecretIdentity>()
            .unwrap()
    };
    let (a, b) = (identity("a"), identity("b"));
    for case in list(&data, "packets") {
        assert_eq!(a.agree(b.public()).0, array(case, "key"));
        let (assembled, datagrams) = (bytes(case, "assembled"), datagrams(case));
        let mtu = number(case, "mtu") as usize;
        assert_eq!(packet::piece_count(assembled.len(), mtu), datagrams.len());
        assert_eq!(packet::split(&assembled, mtu), datagrams);
        let sizes: Vec<u64> = list(case, "datagram_sizes")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        assert!(
            datagrams
                .iter()
                .map(|datagram| datagram.len() as u64)
                .eq(sizes)
        );
        assert_eq!(
            datagrams.len() <= packet::MAX_PIECES,
            boolean(case, "delivered")
        );

        let keys = keys(case);
        let mut packet = assembled.clone();
        assert_eq!(keys.open(&mut packet).is_ok(), boolean(case, "authentic"));
        assert_eq!(packet[packet::VERB_OFFSET..], bytes(case, "plain"));
        // And back: sealed under the id that the sender chose.
        let suite = suite(number(case, "suite"));
        if suite == Suite::AesGmacSiv {
            packet[..8].copy_from_slice(&keys.inner_id(&assembled).0.to_be_bytes());
        }
        keys.seal(&mut packet, suite);
        assert_eq!(packet, assembled);
    }
}

/// How often the packet is received when `datagrams` arrive.
fn deliveries<'a>(case: &Value, datagrams: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let (keys, plain) = (keys(case), bytes(case, "plain"));
    let destination = PacketView::new(&bytes(case, "assembled"))
        .unwrap()
        .destination();
    let mut joiner = Joiner::default();
    let mut count = 0;
    for datagram in datagrams {
        // What is for another node does not reach reassembly.
        let to = FragmentView::new(datagram)
            .map(FragmentView::destination)
            .or_else(|| PacketView::new(datagram).map(PacketView::destination));
        if to != Some(destination) {
            continue;
        }
        if let Some(mut packet) = joiner.take(datagram)
            && keys.open(&mut packet).is_ok()
        {
            assert_eq!(packet[packet::VERB_OFFSET..], plain);
            count += 1;
        }
    }
    count
}

#[test]
fn orders_of_arrival() {
    let Some(data) = json(FILE) else { return };
    for order in list(&data, "orders") {
        let case = &data["packets"][number(order, "packet") as usize];
        let datagrams = datagrams(case);
        let arrivals = list(order, "order")
            .iter()
            .map(|index| &*datagrams[index.as_u64().unwrap() as usize]);
        assert_eq!(
            deliveries(case, arrivals),
            number(order, "times"),
            "{}",
            order["what"]
        );
    }
}

#[test]
fn altered_datagrams() {
    let Some(data) = json(FILE) else { return };
    for variant in list(&data, "variants") {
        let case = &data["packets"][number(variant, "packet") as usize];
        let mut datagrams = datagrams(case);
        if let Some(index) = variant["datagram"].as_u64() {
            datagrams[index as usize] = bytes(variant, "bytes");
        }
        let delivered = deliveries(case, datagrams.iter().map(Vec::as_slice)) > 0;
        assert_eq!(
            delivered,
            boolean(variant, "delivered"),
            "{}",
            variant["what"]
        );
    }
}

#[test]
fn fields() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "fragment_fields") {
        let packet = &data["packets"][number(case, "packet") as usize];
        let datagram = &datagrams(packet)[number(case, "datagram") as usize];
        let view = FragmentView::new(datagram).unwrap();
        assert_eq!(
            view.id(),
            PacketId(u64::from_be_bytes(array(case, "packet_id")))
        );
        assert_eq!(view.destination().to_bytes(), array(case, "dest"));
        assert_eq!(u64::from(view.number()), number(case, "number"));
        assert_eq!(u64::from(view.total()), number(case, "total"));
        assert_eq!(u64::from(view.hops()), number(case, "hops"));
        assert_eq!(view.payload().len() as u64, number(case, "data_length"));
    }
}
