//! USER_MESSAGE and REMOTE_TRACE (protocol specification 7.18, 7.19).

use crate::dictionary::Dictionary;
use crate::{DecodeError, Reader};

/// USER_MESSAGE (7.18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct UserMessage<'a> {
    pub type_id: u64,
    pub data: &'a [u8],
}

impl<'a> UserMessage<'a> {
    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            type_id: reader.u64("message type")?,
            data: reader.remaining(),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.type_id.to_be_bytes());
        out.extend_from_slice(self.data);
    }
}

/// Reads the dictionaries of a REMOTE_TRACE, each of which ends with a NUL.
pub fn decode_traces(payload: &[u8]) -> Vec<Dictionary> {
    let traces = payload.split(|byte| *byte == 0);
    traces
        .filter(|trace| !trace.is_empty())
        .map(Dictionary::decode)
        .collect()
}

/// Appends the dictionaries of a REMOTE_TRACE.
pub fn encode_traces(traces: &[Dictionary], out: &mut Vec<u8>) {
    for trace in traces {
        out.extend_from_slice(&trace.encode());
        out.push(0);
    }
}
