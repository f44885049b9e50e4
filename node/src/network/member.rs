//! What we keep of one member of a network: its credentials and how far it has ours.

use std::sync::Arc;

use protocol::{Address, Instant};

use super::limits::{
    CREDENTIALS_GRACE, CREDENTIALS_LIFETIME, IDLE_MEMBER, MAX_MEMBERS, RECENT_TRAFFIC,
};
use super::membership::Credentials;
use super::{Context, Network};
use crate::rules::RemoteCredentials;
use crate::snapshot::{MemberActivity, MemberEntry};

/// A member of a network.
pub(super) struct Member {
    pub(super) credentials: Credentials,
    /// Its frames may come in.
    pub(super) admitted: bool,
    /// What of its credentials is valid under our configuration.
    pub(super) remote: Arc<RemoteCredentials>,
    pub(super) activity: Arc<MemberActivity>,
    pub(super) created: Instant,
    /// Our groups were announced to it.
    pub(super) announced: Option<Instant>,
    /// Our credentials were sent to it.
    pub(super) pushed: Option<Instant>,
    /// Our credentials shall be sent as soon as the spacing of such packets allows.
    pub(super) push_wanted: bool,
    /// Packets of a push that did not fit the first.
    pub(super) push_rest: Vec<Vec<u8>>,
    /// What the last snapshot showed.
    entry: Option<Arc<MemberEntry>>,
}

impl Member {
    fn new(now: Instant) -> Self {
        Self {
            credentials: Credentials::default(),
            admitted: false,
            remote: Arc::default(),
            activity: Arc::default(),
            created: now,
            announced: None,
            pushed: None,
            push_wanted: false,
            push_rest: Vec::new(),
            entry: None,
        }
    }

    /// When a frame last went or came.
    pub(super) fn last_traffic(&self) -> Instant {
        let received = self.activity.received.get().unwrap_or(self.created);
        received.max(self.activity.sent.get().unwrap_or(self.created))
    }

    /// A frame was sent to it lately.
    pub(super) fn is_talked_to(&self, now: Instant) -> bool {
        let sent = self.activity.sent.get();
        sent.is_some_and(|at| now.duration_since(at) < RECENT_TRAFFIC)
    }

    /// It was sent our credentials under the configuration applied at `applied`, and not too long ago.
    pub(super) fn has_current_credentials(&self, applied: Option<Instant>, now: Instant) -> bool {
        self.pushed.is_some_and(|pushed| {
            now.duration_since(pushed) < CREDENTIALS_LIFETIME
                && applied.is_none_or(|applied| pushed >= applied)
        })
    }

    /// As [`Member::has_current_credentials`], but the credentials of the previous configuration still do for a moment:
    /// so long the new ones may wait for their turn, and workers need not ask.
    pub(super) fn may_be_sent_to(&self, applied: Option<Instant>, now: Instant) -> bool {
        let in_grace = applied.is_some_and(|at| now.duration_since(at) < CREDENTIALS_GRACE);
        let pushed = self.pushed;
        // Of the configuration before, not of one so old that its credentials may be outside of the window.
        let recently = pushed.is_some_and(|at| now.duration_since(at) < RECENT_TRAFFIC);
        self.has_current_credentials(applied, now) || (in_grace && recently)
    }

    /// The entry for the snapshot, the same as last time if nothing changed.
    pub(super) fn entry(&mut self, has_our_credentials: bool) -> Arc<MemberEntry> {
        if let Some(entry) = &self.entry
            && entry.admitted == self.admitted
            && entry.has_our_credentials == has_our_credentials
            && Arc::ptr_eq(&entry.remote, &self.remote)
        {
            return Arc::clone(entry);
        }
        let entry = Arc::new(MemberEntry {
            admitted: self.admitted,
            has_our_credentials,
            remote: Arc::clone(&self.remote),
            activity: Arc::clone(&self.activity),
        });
        self.entry = Some(Arc::clone(&entry));
        entry
    }

    /// The snapshot shows something else than `has_our_credentials`.
    pub(super) fn shows_otherwise(&self, has_our_credentials: bool) -> bool {
        let entry = self.entry.as_ref();
        entry.is_some_and(|entry| entry.has_our_credentials != has_our_credentials)
    }
}

impl Network {
    /// The record of a member, made if there is none.
    pub(super) fn member(&mut self, cx: &mut Context<'_>, address: Address) -> &mut Member {
        if !self.members.contains_key(&address) {
            if self.members.len() >= MAX_MEMBERS {
                self.forget_quietest_members();
            }
            self.members.insert(address, Member::new(cx.now));
            self.judge(cx, address);
            self.changed(cx);
        }
        self.members
            .entry(address)
            .or_insert_with(|| Member::new(cx.now))
    }

    /// Makes room for an eighth of the table: first those that proved nothing, then those that were quiet longest.
    fn forget_quietest_members(&mut self) {
        let worth = |m: &Member| (!m.credentials.is_empty(), m.last_traffic());
        let members = self.members.iter();
        let mut by_worth: Vec<_> = members.map(|(a, m)| (worth(m), *a)).collect();
        by_worth.sort_unstable();
        for (_, address) in by_worth.into_iter().take(MAX_MEMBERS / 8) {
            self.members.remove(&address);
        }
    }

    /// The network is public, or the member's certificate agrees with ours.
    fn would_admit(&self, cx: &Context<'_>, address: Address) -> bool {
        let (Some(configured), Some(member)) = (&self.config, self.members.get(&address)) else {
            return false;
        };
        let config = &configured.config;
        config.public
            || cx.transport.identity_of(address).is_some_and(|identity| {
                let own = config.membership.as_ref();
                member.credentials.agrees(own, identity)
            })
    }

    /// Decides anew whether `address` is admitted and which of its credentials count.
    pub(super) fn judge(&mut self, cx: &mut Context<'_>, address: Address) {
        let admitted = self.would_admit(cx, address);
        let Some(member) = self.members.get_mut(&address) else {
            return;
        };
        let remote = match &self.config {
            None => RemoteCredentials::default(),
            Some(configured) => {
                let config = &configured.config;
                member
                    .credentials
                    .valid(config.timestamp, config.credential_time_max_delta)
            }
        };
        let same_remote = *member.remote == remote;
        if member.admitted == admitted && same_remote {
            return;
        }
        member.admitted = admitted;
        if !same_remote {
            member.remote = Arc::new(remote);
        }
        self.changed(cx);
    }

    /// May packets of `address` come in (13.2)? A pass makes it a member that we keep a record of, and has our groups
    /// announced to it if that is due (10.4).
    pub(super) fn gate(&mut self, cx: &mut Context<'_>, address: Address) -> bool {
        let Some(configured) = &self.config else {
            return false;
        };
        let admitted = match self.members.get(&address) {
            Some(member) if member.admitted => true,
            // The identity may have become known since the certificate came. To judge everything that the member ever
            // proved would be too much work for each packet of one who is not admitted.
            Some(_) if self.would_admit(cx, address) => {
                self.judge(cx, address);
                self.members.get(&address).is_some_and(|m| m.admitted)
            }
            Some(_) => false,
            None => configured.config.public,
        };
        if admitted {
            self.member(cx, address);
            self.announce_to_member_if_due(cx, address);
        }
        admitted
    }

    /// Something that the snapshot shows has changed.
    pub(super) fn changed(&mut self, cx: &mut Context<'_>) {
        self.entry = None;
        cx.transport.mark_snapshot_dirty();
    }

    /// Drops what has expired.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        let before = self.members.len();
        self.members.retain(|_, member| {
            !member.credentials.is_empty()
                || now.duration_since(member.last_traffic()) < IDLE_MEMBER
        });
        if self.members.len() != before {
            self.changed(cx);
        }
        self.expire_bridged_groups(now);
    }
}
