//! The home directory: every file that outlives the process (service specification A.5).

mod networks;
mod secrets;
mod worlds;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use node::io::StateObject;
use rustix::fs::{FlockOperation, flock};

pub use networks::{Permissions, SavedNetwork};
pub use worlds::CachedPeer;

/// Where the home is unless told otherwise.
pub const DEFAULT_HOME: &str = "/var/lib/zerotier-one";
/// Environment variable that names the home.
pub const HOME_VARIABLE: &str = "ZEROTIER_HOME";
/// File with our process id.
const PID_FILE: &str = "zerotier-one.pid";
/// File with our primary port.
const PORT_FILE: &str = "zerotier-one.port";
/// Mode of secrets.
const SECRET: u32 = 0o600;
/// Mode of everything else.
const PUBLIC: u32 = 0o644;

/// An open home directory.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    /// Kept open for its lock.
    directory: fs::File,
}

impl Home {
    /// Opens `path`, and creates what is missing of it.
    pub fn open(path: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .with_context(|| format!("cannot create home directory {}", path.display()))?;
        let root = path
            .canonicalize()
            .with_context(|| format!("cannot resolve home directory {}", path.display()))?;
        let directory = fs::File::open(&root)
            .with_context(|| format!("cannot open home directory {}", root.display()))?;
        Ok(Self { root, directory })
    }

    /// Claims the home for this process, until it ends: two daemons on one home would overwrite each other's files.
    pub fn lock(&self) -> Result<()> {
        match flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "home directory {} is in use by another daemon",
                self.root.display()
            ),
            // Some network file systems have no locks; the port test still tells daemons apart.
            _ => Ok(()),
        }
    }

    /// The directory, symlinks resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a file inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Refuses a home whose controller is of the oldest kind, and removes the remains of old releases.
    pub fn check_legacy(&self) -> Result<()> {
        if self.path("controller.db").exists() {
            bail!(
                "{}: this is the database of a controller from before 2017, which must be migrated first; \
                 move it away to start without it",
                self.path("controller.db").display()
            );
        }
        let removed = fs::remove_dir_all(self.path("iddb.d"));
        drop(removed); // normally there is none
        Ok(())
    }

    /// Writes our process id.
    pub fn write_pid(&self) -> Result<()> {
        self.write(PID_FILE, std::process::id().to_string().as_bytes())
    }

    /// Writes the primary port, where the operator's tool looks for it.
    pub fn write_port(&self, port: u16) -> Result<()> {
        self.write(PORT_FILE, port.to_string().as_bytes())
    }

    /// Removes the file with our process id.
    pub fn remove_pid(&self) {
        let removed = fs::remove_file(self.path(PID_FILE));
        drop(removed); // nothing to be done at the end of a process
    }

    /// The content of a file; none if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        read_if_present(&self.path(name))
    }

    /// Writes a file with mode 0644.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_file(&self.path(name), content, PUBLIC)
    }

    /// Writes a file that may be lost in a crash: replaced as a whole, but not forced to the disk.
    pub fn write_volatile(&self, name: &str, content: &[u8]) -> Result<()> {
        let target = resolve(&self.path(name));
        let temporary = target.with_extension("new");
        fs::write(&temporary, content)
            .and_then(|()| fs::rename(&temporary, &target))
            .with_context(|| format!("cannot write {}", target.display()))
    }

    /// Deletes a file; it is no error if there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(anyhow!(error).context(format!("cannot remove {}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Writes or deletes what the core wants to keep.
    pub fn persist(&self, object: StateObject, content: Option<&[u8]>) -> Result<()> {
        let name = match object {
            StateObject::Planet => "planet".to_owned(),
            StateObject::Moon(id) => worlds::moon_file(id),
            StateObject::Network(id) => networks::config_file(id),
            StateObject::Peer(address) => worlds::peer_file(address),
        };
        match content {
            Some(content) => self.write(&name, content),
            None => self.remove(&name),
        }
    }

    /// File names inside a directory of the home, sorted; none if there is no such directory.
    fn list(&self, directory: &str) -> Result<Vec<String>> {
        let path = self.path(directory);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(anyhow!(error).context(format!("cannot read {}", path.display())));
            }
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }
}

/// The content of a file; none if it does not exist.
fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow!(error).context(format!("cannot read {}", path.display()))),
    }
}

/// The middle of `prefix<digits>suffix`-like names: `name` without `suffix`, if it has exactly `digits` hex digits.
fn hex_name(name: &str, digits: usize, suffix: &str) -> Option<u64> {
    let stem = name.strip_suffix(suffix)?;
    let valid = stem.len() == digits && stem.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(stem, 16).ok()).flatten()
}

/// Makes `path` hold `content`. Symlinks are written through, as home directories full of symlinks are in use. The file
/// is replaced as a whole where its directory allows that, so that a crash cannot leave half of it; an unchanged file
/// is not touched.
fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let target = resolve(path);
    if fs::read(&target).is_ok_and(|old| old == content) {
        return set_mode_if_secret(&target, mode);
    }
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let replaced = replace(&target, content, mode);
    // A file that is itself a mount point, or in a directory that we may not write to, can only be overwritten.
    replaced
        .or_else(|_| overwrite(&target, content, mode))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What `path` points to, through symlinks, also if that does not exist yet.
fn resolve(path: &Path) -> PathBuf {
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&path) else {
            break;
        };
        path = match path.parent() {
            Some(parent) => parent.join(next),
            None => next,
        };
    }
    path
}

fn replace(target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = overwrite(&temporary, content, mode).and_then(|()| {
        if let Ok(old) = fs::metadata(target) {
            // What the operator set stays, unless it exposes a secret.
            let kept = old.permissions().mode() & 0o777;
            let kept = if mode == SECRET { SECRET } else { kept };
            fs::set_permissions(&temporary, fs::Permissions::from_mode(kept))?;
            let new = fs::metadata(&temporary)?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                chown(&temporary, Some(old.uid()), Some(old.gid()))?;
            }
        }
        fs::rename(&temporary, target)
    });
    if written.is_err() {
        let removed = fs::remove_file(&temporary);
        drop(removed); // the error that matters is the first one
    }
    written
}

fn overwrite(target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(target)?;
    file.write_all(content)?;
    file.sync_all()
}

fn set_mode_if_secret(path: &Path, mode: u32) -> Result<()> {
    if mode != SECRET {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(SECRET))
        .with_context(|| format!("cannot protect {}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory that removes itself.
    pub(crate) struct TemporaryDirectory(pub(crate) PathBuf);

    impl TemporaryDirectory {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("hawser-home-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for TemporaryDirectory {
        fn drop(&mut self) {
            let removed = fs::remove_dir_all(&self.0);
            drop(removed);
        }
    }

    fn home() -> (TemporaryDirectory, Home) {
        let directory = TemporaryDirectory::new();
        let home = Home::open(&directory.0.join("a/b")).unwrap();
        (directory, home)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn missing_components_are_created() {
        let (_directory, home) = home();
        assert!(home.root().is_dir());
        assert_eq!(home.read("planet").unwrap(), None);
    }

    #[test]
    fn a_home_that_cannot_be_created_is_named() {
        let directory = TemporaryDirectory::new();
        fs::write(directory.0.join("file"), "").unwrap();
        let error = Home::open(&directory.0.join("file/home")).unwrap_err();
        assert!(format!("{error:#}").contains("file/home"), "{error:#}");
    }

    #[test]
    fn a_second_daemon_is_refused() {
        let (_directory, home) = home();
        home.lock().unwrap();
        let second = Home::open(home.root()).unwrap();
        assert!(second.lock().unwrap_err().to_string().contains("in use"));
        drop(home);
        second.lock().unwrap();
    }

    #[test]
    fn symlinks_are_written_through_even_if_dangling() {
        let (directory, home) = home();
        let target = directory.0.join("elsewhere.conf");
        symlink(&target, home.path("local.conf")).unwrap();
        home.write("local.conf", b"{}").unwrap();
        home.write("local.conf", b"{ }").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"{ }");
        assert!(home.path("local.conf").is_symlink());
        assert_eq!(mode(&target), PUBLIC);
    }

    #[test]
    fn no_temporary_files_stay_behind() {
        let (_directory, home) = home();
        home.write("networks.d/0000000000000001.conf", b"\n")
            .unwrap();
        assert_eq!(home.list("networks.d").unwrap(), ["0000000000000001.conf"]);
    }

    #[test]
    fn pid_and_port_are_bare_numbers() {
        let (_directory, home) = home();
        home.write_pid().unwrap();
        home.write_port(9993).unwrap();
        let pid = fs::read_to_string(home.path("zerotier-one.pid")).unwrap();
        assert_eq!(pid, std::process::id().to_string());
        assert_eq!(fs::read(home.path("zerotier-one.port")).unwrap(), b"9993");
        home.remove_pid();
        assert!(!home.path("zerotier-one.pid").exists());
    }

    #[test]
    fn an_old_controller_database_is_refused() {
        let (_directory, home) = home();
        home.check_legacy().unwrap();
        fs::write(home.path("controller.db"), "").unwrap();
        assert!(
            home.check_legacy()
                .unwrap_err()
                .to_string()
                .contains("controller.db")
        );
    }
}
