//! Verbs of bonded peers: QOS_MEASUREMENT, PATH_NEGOTIATION_REQUEST, ACK (protocol specification 15.2, 15.4, 15.5).

use crate::{DecodeError, PacketId, Reader};

/// One record of QOS_MEASUREMENT (15.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct QosRecord {
    pub packet: PacketId,
    pub holding_time_ms: u16,
}

/// Most records that 1.14.1 sends or accepts in one packet.
pub const MAX_QOS_RECORDS: usize = 140;

const QOS_RECORD_LENGTH: usize = 10;

/// Reads QOS_MEASUREMENT; records are little-endian. A trailing partial record is ignored.
pub fn decode_qos(payload: &[u8]) -> Vec<QosRecord> {
    let (records, _) = payload.as_chunks::<QOS_RECORD_LENGTH>();
    let record = |[a, b, c, d, e, f, g, h, low, high]: &[u8; QOS_RECORD_LENGTH]| QosRecord {
        packet: PacketId(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        holding_time_ms: u16::from_le_bytes([*low, *high]),
    };
    records.iter().map(record).collect()
}

/// Appends one record of QOS_MEASUREMENT.
pub fn encode_qos(record: &QosRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&record.packet.0.to_le_bytes());
    out.extend_from_slice(&record.holding_time_ms.to_le_bytes());
}

/// PATH_NEGOTIATION_REQUEST (15.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct PathNegotiationRequest {
    pub utility: i16,
}

impl PathNegotiationRequest {
    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let bytes = Reader::new(payload).array("path utility")?;
        Ok(Self {
            utility: i16::from_be_bytes(bytes),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.utility.to_be_bytes());
    }
}

/// ACK (15.5), which nobody sends or acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ReceiptAcknowledgement {
    pub bytes: u32,
}

impl ReceiptAcknowledgement {
    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes: Reader::new(payload).u32("acknowledged bytes")?,
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes.to_be_bytes());
    }
}
