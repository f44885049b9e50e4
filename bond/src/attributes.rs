//! What the two ends of a path tell each other about it, so that the peer spares a link of ours that is metered or meant
//! for emergencies (RFC 8684's backup flag, for whole links), and looks closer at one that we left. Peers of our kind only.

use crate::config::{LinkMode, Speed};

/// What one end says of a path over one of its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkAttributes {
    /// What the link is for.
    pub mode: LinkMode,
    /// It costs money.
    pub is_metered: bool,
    /// It is avoided for what is lost there of what this end sends.
    pub is_lossy: bool,
    /// What it can receive, in bit/s, if the operator declared that.
    pub receives: Option<u64>,
}

impl Default for LinkAttributes {
    /// What holds while nothing was said: nothing speaks against the link.
    fn default() -> Self {
        Self {
            mode: LinkMode::Primary,
            is_metered: false,
            is_lossy: false,
            receives: None,
        }
    }
}

impl LinkAttributes {
    /// What the link is for if this end calls it `own`: the more restrictive of the two. The peer's word alone forbids
    /// nothing, since two ends that forbid different links would forbid all.
    pub fn restrict(&self, own: LinkMode) -> LinkMode {
        own.max(self.mode.min(LinkMode::Spare))
    }

    /// The declared speed of the way to the peer: what both ends allow. Numbers without a unit cannot be compared.
    pub fn limit(&self, own: Option<Speed>) -> Option<Speed> {
        match (own, self.receives) {
            (Some(Speed::BitsPerSecond(own)), Some(theirs)) => {
                Some(Speed::BitsPerSecond(own.min(theirs)))
            }
            (None, Some(theirs)) => Some(Speed::BitsPerSecond(theirs)),
            (own, _) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_restrictive_end_counts_and_neither_forbids_alone() {
        use LinkMode::{Never, Primary, Secondary, Spare};
        for (own, theirs, both) in [
            (Primary, Primary, Primary),
            (Primary, Secondary, Secondary),
            (Primary, Spare, Spare),
            (Secondary, Primary, Secondary),
            (Spare, Primary, Spare),
            (Never, Primary, Never),
            (Primary, Never, Spare),
            (Spare, Never, Spare),
        ] {
            let attributes = LinkAttributes {
                mode: theirs,
                ..LinkAttributes::default()
            };
            assert_eq!(attributes.restrict(own), both, "{own:?} {theirs:?}");
        }
    }

    #[test]
    fn the_slower_end_limits_the_speed() {
        let receives = |receives| LinkAttributes {
            receives,
            ..LinkAttributes::default()
        };
        let bits = Speed::BitsPerSecond;
        assert_eq!(receives(Some(5)).limit(Some(bits(9))), Some(bits(5)));
        assert_eq!(receives(Some(9)).limit(Some(bits(5))), Some(bits(5)));
        assert_eq!(receives(Some(5)).limit(None), Some(bits(5)));
        assert_eq!(receives(None).limit(None), None);
        let relative = Some(Speed::Relative(3));
        assert_eq!(receives(Some(5)).limit(relative), relative);
    }
}
