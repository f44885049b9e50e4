//! Chunks back into a configuration's dictionary, each chunk verified before it takes up any memory (protocol
//! specification 12.4).

use std::collections::BTreeSet;

use protocol::network_config::ConfigChunk;
use protocol::{Identity, NetworkId};

/// Dictionaries must be shorter than this, in bytes: the capacity of 1.14.1 on x86-64.
pub const MAX_DICTIONARY: usize = 484_520;
/// Chunks per update.
pub const MAX_CHUNKS: usize = 474;
/// Updates that are put together at once; a further one replaces the least recently used.
pub const MAX_UPDATES: usize = 3;

/// What a chunk led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// This chunk is there already: nothing to do, nothing to pass on.
    Duplicate,
    /// A new, genuine chunk; more are missing.
    Partial,
    /// The whole dictionary.
    Complete {
        /// Its encoded form.
        dictionary: Vec<u8>,
        /// The update's id; 0 in the legacy form.
        update_id: u64,
    },
}

/// Why a chunk was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AssemblyError {
    /// It belongs to another network.
    #[error("chunk of another network")]
    WrongNetwork,
    /// Unsigned, and not from the controller itself.
    #[error("unsigned chunk from a node that is not the controller")]
    Unsigned,
    /// Index and lengths contradict each other or the limits.
    #[error("chunk outside of its configuration or configuration too large")]
    OutOfBounds,
    /// Update id 0 is not allowed.
    #[error("update id is zero")]
    ZeroUpdateId,
    /// Another chunk of the same update stated another total.
    #[error("chunks of one update disagree on the total length")]
    Inconsistent,
    /// Too many chunks for one update.
    #[error("too many chunks")]
    TooManyChunks,
    /// Not signed by the controller.
    #[error("signature does not verify")]
    BadSignature,
}

/// The updates of one network that are being put together.
#[derive(Clone, Debug)]
pub struct Assembly {
    network: NetworkId,
    updates: Vec<Update>,
    uses: u64,
}

#[derive(Clone, Debug)]
struct Update {
    id: u64,
    last_use: u64,
    dictionary: Vec<u8>,
    received: usize,
    signatures: BTreeSet<[u8; 96]>,
}

impl Assembly {
    /// Nothing received yet.
    pub const fn new(network: NetworkId) -> Self {
        Self {
            network,
            updates: Vec::new(),
            uses: 0,
        }
    }

    /// Takes a chunk. `controller` is the controller's identity; `from_controller` tells if the packet came from the
    /// controller itself, which only the legacy unsigned form needs.
    pub fn insert(
        &mut self,
        chunk: &ConfigChunk,
        controller: &Identity,
        from_controller: bool,
    ) -> Result<Progress, AssemblyError> {
        if chunk.network != self.network {
            return Err(AssemblyError::WrongNetwork);
        }
        let Some(signed) = &chunk.signed else {
            if !from_controller {
                return Err(AssemblyError::Unsigned);
            }
            return Ok(Progress::Complete {
                dictionary: chunk.data.clone(),
                update_id: 0,
            });
        };
        let total = signed.total_length as usize;
        let start = signed.index as usize;
        let end = start + chunk.data.len();
        if signed.update_id == 0 {
            return Err(AssemblyError::ZeroUpdateId);
        }
        if end > total || total >= MAX_DICTIONARY {
            return Err(AssemblyError::OutOfBounds);
        }
        let known = self.updates.iter().position(|u| u.id == signed.update_id);
        if let Some(update) = known.and_then(|known| self.updates.get(known)) {
            if update.signatures.contains(&signed.signature.0) {
                return Ok(Progress::Duplicate);
            }
            if update.dictionary.len() != total {
                return Err(AssemblyError::Inconsistent);
            }
            if update.signatures.len() >= MAX_CHUNKS {
                return Err(AssemblyError::TooManyChunks);
            }
        }
        if !controller.verify(&chunk.signed_bytes(), &signed.signature) {
            return Err(AssemblyError::BadSignature);
        }

        self.uses += 1;
        let slot = known.unwrap_or_else(|| self.free_slot(signed.update_id, total));
        let update = &mut self.updates[slot];
        update.last_use = self.uses;
        update.dictionary[start..end].copy_from_slice(&chunk.data);
        update.received += chunk.data.len();
        update.signatures.insert(signed.signature.0);
        if update.received < total {
            return Ok(Progress::Partial);
        }
        // The record of signatures stays, so that late copies of the last chunk are known as duplicates.
        Ok(Progress::Complete {
            dictionary: update.dictionary.clone(),
            update_id: signed.update_id,
        })
    }

    fn free_slot(&mut self, id: u64, total: usize) -> usize {
        let update = Update {
            id,
            last_use: 0,
            dictionary: vec![0; total],
            received: 0,
            signatures: BTreeSet::new(),
        };
        if self.updates.len() < MAX_UPDATES {
            self.updates.push(update);
            return self.updates.len() - 1;
        }
        let oldest = (0..self.updates.len())
            .min_by_key(|slot| self.updates[*slot].last_use)
            .unwrap_or(0);
        self.updates[oldest] = update;
        oldest
    }
}
