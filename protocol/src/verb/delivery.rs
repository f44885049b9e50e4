//! How a Hawser node asks another what arrives, and is told: in USER_MESSAGE, whose unknown types every node ignores.
//!
//! Request, type `0x6861777365720002`, sent while there is traffic, again before its time is over:
//!
//! | size | field |
//! |---|---|
//! | 4 | run: random, new whenever the asker begins to count anew; its low 13 bits are the epoch of its numbers |
//! | 2 | time between reports, ms |
//! | 2 | how long reports are wanted, ms |
//! | 1 | bit 0: packets come several times, on several paths |
//!
//! Report, type `0x6861777365720003`:
//!
//! | size | field |
//! |---|---|
//! | 4 | run that it answers |
//! | 8 | time of the report by the reporter's clock, µs |
//! | 30 each | lanes: path (1), worker (1), packets received (8), bytes (8), highest number (8), µs since that one arrived (4) |
//!
//! Packets and bytes count from the beginning of the run, so a lost report loses nothing. Lanes that have been silent for
//! a while may be left out. What follows a request, or is too short for one more lane, is left for later versions.

use crate::packet::Lane;
use crate::{DecodeError, Reader};

/// A node asks to be told what arrives from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportRequest {
    /// Tells a fresh start of counting from the one before.
    pub run: u32,
    /// Time between reports, ms.
    pub interval_ms: u16,
    /// How long reports are wanted, ms.
    pub lifetime_ms: u16,
    /// Packets come several times, on several paths.
    pub repeats: bool,
}

impl ReportRequest {
    /// Type of the USER_MESSAGE.
    pub const TYPE: u64 = 0x6861_7773_6572_0002;

    /// Reads the message's data.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(Self {
            run: reader.u32("run")?,
            interval_ms: reader.u16("interval of reports")?,
            lifetime_ms: reader.u16("lifetime of a request")?,
            repeats: reader.u8("flags of a request")? & 1 != 0,
        })
    }

    /// Appends the whole payload of a USER_MESSAGE.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&Self::TYPE.to_be_bytes());
        out.extend_from_slice(&self.run.to_be_bytes());
        out.extend_from_slice(&self.interval_ms.to_be_bytes());
        out.extend_from_slice(&self.lifetime_ms.to_be_bytes());
        out.push(u8::from(self.repeats));
    }
}

/// What arrived on one lane since the run began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneReport {
    /// Which.
    pub lane: Lane,
    /// Packets received.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// The highest number among them, as it travels: see [`Lane::truncated`].
    pub highest: u64,
    /// Since that one arrived, µs.
    pub age_us: u32,
}

/// What arrived from a node that asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArrivalReport {
    /// The run that was asked for.
    pub run: u32,
    /// When this was so, by the reporter's clock, µs.
    pub clock_us: u64,
    /// Each lane at most once.
    pub lanes: Vec<LaneReport>,
}

impl ArrivalReport {
    /// Type of the USER_MESSAGE.
    pub const TYPE: u64 = 0x6861_7773_6572_0003;
    /// Most lanes of a report: with headers less than the smallest datagram that paths are made for.
    pub const MAX_LANES: usize = 40;
    /// Length of one lane.
    const LANE: usize = 30;

    /// Reads the message's data. Lanes beyond the greatest number are left out.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        let mut report = Self {
            run: reader.u32("run")?,
            clock_us: reader.u64("clock of a report")?,
            lanes: Vec::new(),
        };
        while reader.remaining().len() >= Self::LANE && report.lanes.len() < Self::MAX_LANES {
            report.lanes.push(LaneReport {
                lane: Lane {
                    path: reader.u8("path of a lane")?,
                    worker: reader.u8("worker of a lane")?,
                },
                packets: reader.u64("packets of a lane")?,
                bytes: reader.u64("bytes of a lane")?,
                highest: reader.u64("highest number of a lane")?,
                age_us: reader.u32("age of a lane")?,
            });
        }
        Ok(report)
    }

    /// Appends the whole payload of a USER_MESSAGE.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&Self::TYPE.to_be_bytes());
        out.extend_from_slice(&self.run.to_be_bytes());
        out.extend_from_slice(&self.clock_us.to_be_bytes());
        for lane in self.lanes.iter().take(Self::MAX_LANES) {
            out.extend_from_slice(&[lane.lane.path, lane.lane.worker]);
            for field in [lane.packets, lane.bytes, lane.highest] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            out.extend_from_slice(&lane.age_us.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verb::UserMessage;

    #[test]
    fn requests_and_reports_come_back() {
        let request = ReportRequest {
            run: 7,
            interval_ms: 100,
            lifetime_ms: 3000,
            repeats: true,
        };
        let lane = |path| LaneReport {
            lane: Lane { path, worker: 63 },
            packets: 1 << 40,
            bytes: 1 << 50,
            highest: 5,
            age_us: 12,
        };
        let report = ArrivalReport {
            run: 7,
            clock_us: 1 << 44,
            lanes: (0..50).map(lane).collect(),
        };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        let message = UserMessage::decode(&payload).unwrap();
        assert_eq!(message.type_id, ReportRequest::TYPE);
        assert_eq!(ReportRequest::decode(message.data), Ok(request));
        assert!(ReportRequest::decode(&message.data[..8]).is_err());
        payload.clear();
        report.encode(&mut payload);
        assert!(payload.len() < 1300);
        let message = UserMessage::decode(&payload).unwrap();
        assert_eq!(message.type_id, ArrivalReport::TYPE);
        let read = ArrivalReport::decode(message.data).unwrap();
        assert_eq!(read.lanes, report.lanes[..ArrivalReport::MAX_LANES]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = ReportRequest::decode(&data);
            if let Ok(report) = ArrivalReport::decode(&data) {
                prop_assert!(report.lanes.len() <= ArrivalReport::MAX_LANES);
            }
        }
    }
}
