//! Flow ids of frames, and the link that balance-xor chooses for them.

use bond::{FlowId, flow_id};
use serde_json::Value;

use crate::load;

/// A flow id, or -1 for none.
fn number(flow: Option<FlowId>) -> i64 {
    flow.map_or(-1, |flow| flow.value().into())
}

/// The FRAME packet that carries so much payload has more than 51 bytes: header 28, network id 8, Ethertype 2, which
/// leaves the limit at 13 bytes.
const LONGEST_PAYLOAD_WITHOUT_FLOW: usize = 51 - 28 - 8 - 2;

fn golden() -> Option<Value> {
    load::json("flowid.json")
}

#[test]
fn frames_have_the_flow_ids_of_the_reference() {
    let Some(golden) = golden() else { return };
    for case in load::list(&golden, "cases") {
        let name = load::string(case, "name");
        let ethertype = u16::try_from(load::number(case, "ethertype")).expect("16 bits");
        let payload = load::bytes(case, "frame");
        let flow = flow_id(ethertype, &payload);

        assert_eq!(Some(number(flow)), case["outbound"].as_i64(), "{name}");
        // No frame so short has ports, so the reference's length test on receipt changes nothing.
        assert!(flow.is_none() || payload.len() > LONGEST_PAYLOAD_WITHOUT_FLOW);
        if payload.is_empty() {
            assert!(case["inbound"].is_null(), "{name}");
        } else {
            assert_eq!(Some(number(flow)), case["inbound"].as_i64(), "{name}");
            // An EXT_FRAME never has one: nobody asks.
            assert_eq!(case["inbound_ext"].as_i64(), Some(-1), "{name}");
        }
        let key = flow.map_or(-1, |flow| i64::from(flow.table_key()));
        assert_eq!(Some(key), case["flow_key_16"].as_i64(), "{name}");
    }
}

#[test]
fn balance_xor_chooses_the_links_of_the_reference() {
    let Some(golden) = golden() else { return };
    let flows: std::collections::BTreeMap<i64, Option<FlowId>> = load::list(&golden, "cases")
        .iter()
        .map(|case| {
            let ethertype = load::number(case, "ethertype") as u16;
            let flow = flow_id(ethertype, &load::bytes(case, "frame"));
            (number(flow), flow)
        })
        .collect();
    let mut checked = 0;
    for choice in load::list(&golden, "xor_choice") {
        let id = choice["id"].as_i64().expect("a number");
        let flow = flows
            .get(&id)
            .unwrap_or_else(|| panic!("no frame has flow id {id}"));
        let links = load::number(choice, "links") as usize;
        let expected = load::number(choice, "choice") as usize;
        assert_eq!(FlowId::xor_choice(*flow, links), Some(expected), "{choice}");
        checked += 1;
    }
    assert!(checked > 100);
}
