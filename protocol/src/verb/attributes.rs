//! How a Hawser node tells another what the link is for over which this very packet came: in USER_MESSAGE, whose unknown types
//! every node ignores.
//!
//! Type `0x6861777365720004`:
//!
//! | size | field |
//! |---|---|
//! | 1 | mode: 0 primary, 1 secondary, 2 spare, 3 never |
//! | 1 | bit 0: metered; bit 1: avoided for what is lost on the way to the receiver of this |
//! | 8 | what the link can receive, bit/s; 0: not declared |
//!
//! What follows is left for later versions. Other bits are 0 and not looked at.

use crate::{DecodeError, Reader};

const METERED: u8 = 1;
const LOSSY: u8 = 2;

/// What one end says of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathAttributes {
    /// As it travels: 0 primary, 1 secondary, 2 spare, 3 never; others are for later versions.
    pub mode: u8,
    /// It costs money.
    pub is_metered: bool,
    /// The sender of this avoids it for what it loses.
    pub is_lossy: bool,
    /// What it can receive, bit/s; 0: not declared.
    pub receives: u64,
}

impl PathAttributes {
    /// Type of the USER_MESSAGE.
    pub const TYPE: u64 = 0x6861_7773_6572_0004;

    /// Reads the message's data.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        let mode = reader.u8("mode of a path")?;
        let flags = reader.u8("flags of a path")?;
        Ok(Self {
            mode,
            is_metered: flags & METERED != 0,
            is_lossy: flags & LOSSY != 0,
            receives: reader.u64("what a path can receive")?,
        })
    }

    /// Appends the whole payload of a USER_MESSAGE.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&Self::TYPE.to_be_bytes());
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(self.is_metered, METERED) | flag(self.is_lossy, LOSSY);
        out.extend_from_slice(&[self.mode, flags]);
        out.extend_from_slice(&self.receives.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verb::UserMessage;

    #[test]
    fn attributes_come_back_and_a_short_message_is_refused() {
        for (is_metered, is_lossy) in [(true, false), (false, true), (true, true)] {
            let attributes = PathAttributes {
                mode: 2,
                is_metered,
                is_lossy,
                receives: 50_000_000,
            };
            let mut payload = Vec::new();
            attributes.encode(&mut payload);
            let message = UserMessage::decode(&payload).expect("a message");
            assert_eq!(message.type_id, PathAttributes::TYPE);
            assert_eq!(PathAttributes::decode(message.data), Ok(attributes));
            for length in 0..message.data.len() {
                assert!(PathAttributes::decode(&message.data[..length]).is_err());
            }
        }
    }
}
