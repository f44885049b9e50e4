//! What a bond keeps alive by itself, so that the keepalive of all peers need not: heartbeats and HELLOs over every port of every
//! link cost several times what an idle bond may.

use std::collections::BTreeSet;

use protocol::Address;

use super::Bonds;
use crate::io::PathKey;

/// What the bond with a peer does for keepalive; nothing without a bond.
#[derive(Default)]
pub(in crate::transport) struct Kept {
    /// It asks them now and then, and knows that they work.
    pub(in crate::transport) paths: BTreeSet<PathKey>,
    /// The one of those that HELLO goes over: one that carries traffic and costs nothing, if there is one.
    pub(in crate::transport) greeted: Option<PathKey>,
}

impl Bonds {
    /// The bond with `peer` asks this path now and then, and knows that it works, however long ago it was heard.
    pub(in crate::transport) fn keeps(&self, peer: Address, path: PathKey) -> bool {
        self.bond_with(peer).is_some_and(|(bonded, bond)| {
            let path = bonded.paths.get(&path);
            path.is_some_and(|path| bond.keeps(path.id))
        })
    }

    /// What the bond with `peer` keeps.
    pub(in crate::transport) fn kept_of(&self, peer: Address) -> Kept {
        let Some((bonded, bond)) = self.bond_with(peer) else {
            return Kept::default();
        };
        let paths = bonded.paths.iter();
        Kept {
            paths: paths
                .filter(|(_, path)| bond.keeps(path.id))
                .map(|(key, _)| *key)
                .collect(),
            greeted: bond.greeted().and_then(|path| bonded.key_of(path)),
        }
    }
}
