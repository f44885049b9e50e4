//! Planet, moons and the cache of peers.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use protocol::world::{World, WorldKind};
use protocol::{Address, DecodeError, Identity, Reader, endpoint};

use super::{Home, hex_name};

const PLANET: &str = "planet";
const MOONS: &str = "moons.d";
const PEERS: &str = "peers.d";
/// A cached peer that was not rewritten for this long is forgotten.
const PEER_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// First byte of a cached peer.
const PEER_FORMAT: u8 = 2;

/// A peer as `peers.d` remembers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CachedPeer {
    /// Who.
    pub identity: Identity,
    /// Where it was.
    pub endpoints: Vec<SocketAddr>,
}

pub(super) fn moon_file(id: u64) -> String {
    format!("{MOONS}/{id:016x}.moon")
}

pub(super) fn peer_file(address: Address) -> String {
    format!("{PEERS}/{address}.peer")
}

impl Home {
    /// The planet of this home; the built-in one is written if there is none.
    pub fn planet(&self) -> Result<World> {
        match self.read(PLANET)? {
            Some(content) => self.read_world(PLANET, &content, WorldKind::Planet),
            None => {
                let planet = World::default_planet();
                self.write(PLANET, &planet.to_bytes())?;
                Ok(planet)
            }
        }
    }

    /// All moons of `moons.d`.
    pub fn moons(&self) -> Result<Vec<World>> {
        let mut moons = Vec::new();
        for name in self.list(MOONS)? {
            let Some(id) = hex_name(&name, 16, ".moon") else {
                continue;
            };
            let name = format!("{MOONS}/{name}");
            let Some(content) = self.read(&name)? else {
                continue;
            };
            let moon = self.read_world(&name, &content, WorldKind::Moon)?;
            if moon.id != id {
                bail!(
                    "{}: invalid moon: it is {:016x}, not what the file's name says",
                    self.path(&name).display(),
                    moon.id
                );
            }
            moons.push(moon);
        }
        Ok(moons)
    }

    fn read_world(&self, name: &str, content: &[u8], kind: WorldKind) -> Result<World> {
        let path = self.path(name);
        let word = if kind == WorldKind::Planet {
            "planet"
        } else {
            "moon"
        };
        match World::decode(&mut Reader::new(content)) {
            Ok(world) if world.kind == kind => Ok(world),
            Ok(_) => bail!("{}: invalid {word}: another kind of world", path.display()),
            Err(error) => bail!("{}: invalid {word}: {error}", path.display()),
        }
    }

    /// Peers seen earlier. This is a cache: what cannot be read is skipped, what is old is deleted.
    pub fn cached_peers(&self) -> Vec<CachedPeer> {
        let names = self.list(PEERS).unwrap_or_default();
        let readable = |name: &String| {
            hex_name(name, 10, ".peer")?;
            let name = format!("{PEERS}/{name}");
            if self.is_outdated(&name) {
                let removed = self.remove(&name);
                drop(removed); // next time, then
                return None;
            }
            decode_peer(&self.read(&name).ok()??).ok()
        };
        names.iter().filter_map(readable).collect()
    }

    fn is_outdated(&self, name: &str) -> bool {
        let modified = fs::metadata(self.path(name)).and_then(|file| file.modified());
        modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > PEER_LIFETIME))
    }
}

fn decode_peer(content: &[u8]) -> Result<CachedPeer, DecodeError> {
    let mut reader = Reader::new(content);
    if reader.u8("peer format")? != PEER_FORMAT {
        return Err(DecodeError::Invalid("peer format"));
    }
    let identity = Identity::decode(&mut reader)?;
    for field in [
        "protocol version",
        "major version",
        "minor version",
        "revision",
    ] {
        reader.u16(field)?;
    }
    let count = reader.u16("path count")?;
    let mut endpoints = Vec::new();
    for _ in 0..count {
        endpoints.extend(endpoint::decode_endpoint(&mut reader)?);
    }
    Ok(CachedPeer {
        identity,
        endpoints,
    })
}

#[cfg(test)]
mod tests {
    use node::io::StateObject;
    use protocol::SecretIdentity;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::tests::TemporaryDirectory;
    use super::*;

    fn setup() -> (TemporaryDirectory, Home, SecretIdentity) {
        let directory = TemporaryDirectory::new();
        let home = Home::open(&directory.0).unwrap();
        let identity = SecretIdentity::generate(&mut StdRng::seed_from_u64(3));
        (directory, home, identity)
    }

    fn world(kind: WorldKind, id: u64, root: &SecretIdentity) -> World {
        World::of_root(kind, id, 1, root, vec!["10.0.0.1:9993".parse().unwrap()])
    }

    #[test]
    fn the_default_planet_is_written_and_an_own_one_kept() {
        let (_directory, home, root) = setup();
        let default = home.planet().unwrap();
        assert_eq!(fs::read(home.path("planet")).unwrap().len(), 570);
        assert_eq!(default.id, 149_604_618);
        let own = world(WorldKind::Planet, 77, &root);
        fs::write(home.path("planet"), own.to_bytes()).unwrap();
        assert_eq!(home.planet().unwrap(), own);
    }

    #[test]
    fn corrupt_worlds_are_named_and_left_alone() {
        let (_directory, home, root) = setup();
        let moon = world(WorldKind::Moon, 9, &root).to_bytes();
        for bytes in [&b"junk"[..], b"", &moon, &moon[..100]] {
            fs::write(home.path("planet"), bytes).unwrap();
            let error = format!("{:#}", home.planet().unwrap_err());
            assert!(error.contains("planet: invalid planet: "), "{error}");
            assert_eq!(fs::read(home.path("planet")).unwrap(), bytes);
        }
        let object = StateObject::Moon(9);
        home.persist(object, Some(&moon)).unwrap();
        assert_eq!(home.moons().unwrap()[0].id, 9);
        home.persist(object, Some(b"junk")).unwrap();
        let error = format!("{:#}", home.moons().unwrap_err());
        assert!(
            error.contains("0000000000000009.moon: invalid moon: "),
            "{error}"
        );
        home.persist(object, Some(&world(WorldKind::Moon, 8, &root).to_bytes()))
            .unwrap();
        assert!(home.moons().is_err());
        home.persist(object, None).unwrap();
        assert_eq!(home.moons().unwrap(), []);
    }

    #[test]
    fn cached_peers_are_read_and_junk_is_skipped() {
        let (_directory, home, identity) = setup();
        let endpoint: SocketAddr = "10.79.0.1:9993".parse().unwrap();
        let mut bytes = vec![PEER_FORMAT];
        bytes.extend(identity.public().to_bytes());
        bytes.extend([0, 12, 0, 1, 0, 14, 0, 1, 0, 1]);
        endpoint::encode_endpoint(Some(endpoint), &mut bytes);
        let object = StateObject::Peer(identity.address());
        home.persist(object, Some(&bytes)).unwrap();
        home.persist(StateObject::Peer(Address::from_u64(5)), Some(b"junk"))
            .unwrap();
        home.write("peers.d/notes.txt", b"hello").unwrap();
        let expected = CachedPeer {
            identity: identity.public().clone(),
            endpoints: vec![endpoint],
        };
        assert_eq!(home.cached_peers(), [expected]);
    }
}
