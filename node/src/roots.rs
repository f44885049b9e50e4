//! Planet and moons, and the upstreams that follow from them (protocol specification 6).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocol::verb::HelloMoon;
use protocol::world::{World, WorldKind};
use protocol::{Address, Identity, Reader};

use crate::io::StateObject;
use crate::limits::MAX_WORLD_BYTES;
use crate::status::Role;

/// Worlds held and wanted.
pub(crate) struct Roots {
    me: Identity,
    planet: World,
    moons: BTreeMap<u64, World>,
    /// Moons asked for, and the seed to ask.
    wanted: BTreeMap<u64, Address>,
    upstreams: BTreeMap<Address, Upstream>,
    is_upstream: bool,
}

/// A root of the planet or a moon.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Some world names it without saying where it is.
    pub(crate) anywhere: bool,
}

impl Roots {
    pub(crate) fn new(me: Identity, planet: World) -> Self {
        let mut roots = Self {
            me,
            planet,
            moons: BTreeMap::new(),
            wanted: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            is_upstream: false,
        };
        roots.recompute();
        roots
    }

    pub(crate) fn planet(&self) -> &World {
        &self.planet
    }

    pub(crate) fn moons(&self) -> &BTreeMap<u64, World> {
        &self.moons
    }

    pub(crate) fn upstreams(&self) -> &BTreeMap<Address, Upstream> {
        &self.upstreams
    }

    pub(crate) fn contains(&self, address: Address) -> bool {
        self.upstreams.contains_key(&address)
    }

    pub(crate) fn is_upstream(&self) -> bool {
        self.is_upstream
    }

    /// Addresses to ask for moons.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = Address> + '_ {
        self.wanted.values().copied()
    }

    pub(crate) fn is_seed(&self, address: Address) -> bool {
        self.wanted.values().any(|seed| *seed == address)
    }

    pub(crate) fn role(&self, address: Address) -> Role {
        self.upstreams.get(&address).map_or(Role::Leaf, |u| u.role)
    }

    /// What a HELLO says of moons.
    pub(crate) fn hello_moons(&self) -> Vec<HelloMoon> {
        let held = self.moons.values().map(|moon| HelloMoon {
            id: moon.id,
            timestamp: moon.timestamp,
        });
        let wanted = self.wanted.keys().map(|id| HelloMoon {
            id: *id,
            timestamp: 0,
        });
        held.chain(wanted).collect()
    }

    /// The worlds that an OK(HELLO) gives to someone who has these.
    pub(crate) fn updates_for(
        &self,
        planet_id: u64,
        planet_timestamp: u64,
        moons: &[HelloMoon],
    ) -> Vec<u8> {
        let mut worlds = Vec::new();
        if planet_id != 0 && planet_id == self.planet.id && self.planet.timestamp > planet_timestamp
        {
            worlds = self.planet.to_bytes();
        }
        for moon in self.moons.values() {
            let older = moons
                .iter()
                .any(|theirs| theirs.id == moon.id && theirs.timestamp < moon.timestamp);
            if older {
                let bytes = moon.to_bytes();
                if worlds.len() + bytes.len() <= MAX_WORLD_BYTES {
                    worlds.extend(bytes);
                }
            }
        }
        worlds
    }

    /// Takes the worlds of an OK(HELLO) from an upstream or a seed. Returns what changed, to be written to disk.
    pub(crate) fn take_updates(&mut self, worlds: &[u8]) -> Vec<(StateObject, Vec<u8>)> {
        let mut reader = Reader::new(worlds);
        let mut changed = Vec::new();
        while !reader.is_empty() {
            let Ok(world) = World::decode(&mut reader) else {
                break;
            };
            let object = match world.kind {
                WorldKind::Planet => StateObject::Planet,
                WorldKind::Moon => StateObject::Moon(world.id),
                WorldKind::Null => continue,
            };
            let bytes = world.to_bytes();
            if self.offer(world) {
                changed.push((object, bytes));
            }
        }
        changed
    }

    /// Takes a world if it may replace what is held (6.2).
    pub(crate) fn offer(&mut self, world: World) -> bool {
        match world.kind {
            WorldKind::Planet if self.planet.is_replaced_by(&world) => self.planet = world,
            WorldKind::Moon => match self.moons.get(&world.id) {
                Some(held) if held.is_replaced_by(&world) => {
                    self.moons.insert(world.id, world);
                }
                Some(_) => return false,
                None => {
                    let Some(seed) = self.wanted.get(&world.id) else {
                        return false;
                    };
                    if !world.roots.iter().any(|r| r.identity.address() == *seed) {
                        return false;
                    }
                    self.wanted.remove(&world.id);
                    self.moons.insert(world.id, world);
                }
            },
            WorldKind::Planet | WorldKind::Null => return false,
        }
        self.recompute();
        true
    }

    /// A moon from disk: taken as is, unless a newer one is held.
    pub(crate) fn load_moon(&mut self, moon: World) -> bool {
        let newer_held = self
            .moons
            .get(&moon.id)
            .is_some_and(|held| held.timestamp >= moon.timestamp);
        if moon.kind != WorldKind::Moon || newer_held {
            return false;
        }
        self.wanted.remove(&moon.id);
        self.moons.insert(moon.id, moon);
        self.recompute();
        true
    }

    /// Wants a moon, unless it is held.
    pub(crate) fn orbit(&mut self, moon: u64, seed: Option<Address>) {
        if let (false, Some(seed)) = (self.moons.contains_key(&moon), seed) {
            self.wanted.insert(moon, seed);
        }
    }

    /// Forgets a moon.
    pub(crate) fn deorbit(&mut self, moon: u64) {
        self.wanted.remove(&moon);
        self.moons.remove(&moon);
        self.recompute();
    }

    fn recompute(&mut self) {
        self.upstreams.clear();
        self.is_upstream = false;
        let worlds = std::iter::once((Role::Planet, &self.planet))
            .chain(self.moons.values().map(|moon| (Role::Moon, moon)));
        for (role, world) in worlds {
            for root in &world.roots {
                if root.identity == self.me {
                    self.is_upstream = true;
                    continue;
                }
                let upstream = self
                    .upstreams
                    .entry(root.identity.address())
                    .or_insert_with(|| Upstream {
                        identity: root.identity.clone(),
                        role,
                        endpoints: Vec::new(),
                        anywhere: false,
                    });
                upstream.anywhere |= root.endpoints.is_empty();
                for endpoint in &root.endpoints {
                    if !upstream.endpoints.contains(endpoint) {
                        upstream.endpoints.push(*endpoint);
                    }
                }
            }
        }
    }
}
