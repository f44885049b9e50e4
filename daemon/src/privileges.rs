//! Running as the system user `zerotier-one` with only the capabilities that are needed (service specification A.3).
//!
//! Linux keeps ids and capabilities per thread: this works because it runs before any other thread exists.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    set_capabilities, set_keep_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// The user that packages create.
pub const USER: &str = "zerotier-one";

/// A user id and its primary group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The account called `name` in the text of `/etc/passwd`.
pub fn find_account(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

/// True for uid 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Hands the home directory to the account [`USER`], if there is one, and becomes it. Stays root, with a warning, where
/// the kernel cannot keep the capabilities.
pub fn drop_to_service_user(home: &Path) -> Result<()> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let Some(account) = find_account(&passwd, USER) else {
        return Ok(());
    };
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    let kept = needed | CapabilitySet::NET_BIND_SERVICE;
    // Raising an ambient capability needs it in the inheritable set; trying now shows if the kernel can.
    let before = capabilities(None).context("reading capabilities")?;
    let inheritable = CapabilitySets {
        inheritable: before.inheritable | kept,
        ..before
    };
    let probe = set_capabilities(None, inheritable)
        .and_then(|()| configure_capability_in_ambient_set(CapabilitySet::NET_RAW, true));
    if let Err(error) = probe {
        tracing::warn!(%error, "no ambient capabilities here: staying root");
        return Ok(());
    }
    change_owner(home, account).with_context(|| format!("giving {} to {USER}", home.display()))?;
    set_keep_capabilities(true).context("keeping capabilities")?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    set_thread_groups(&[gid]).context("setting groups")?;
    set_thread_res_gid(Some(gid), Some(gid), Some(gid)).context("setting the group id")?;
    set_thread_res_uid(Some(uid), Some(uid), Some(uid)).context("setting the user id")?;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: kept,
    };
    set_capabilities(None, sets).context("reducing capabilities")?;
    for capability in [CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW] {
        configure_capability_in_ambient_set(capability, true).context("raising a capability")?;
    }
    Ok(())
}

/// Changes the owner of `path` and of all below it; links themselves, not what they point to.
fn change_owner(path: &Path, account: Account) -> std::io::Result<()> {
    lchown(path, Some(account.uid), Some(account.gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            change_owner(&entry?.path(), account)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nzerotier-one2:x:7:7::/:\n\
                      zerotier-one:x:998:997::/var/lib/zerotier-one:/bin/false\nbroken\n";
        assert_eq!(
            find_account(passwd, "zerotier-one"),
            Some(Account { uid: 998, gid: 997 })
        );
        assert_eq!(find_account(passwd, "nobody"), None);
        assert_eq!(
            find_account("zerotier-one:x:many:1::", "zerotier-one"),
            None
        );
    }
}
