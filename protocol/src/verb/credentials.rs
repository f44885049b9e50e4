//! NETWORK_CREDENTIALS (protocol specification 7.11).

use crate::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, Revocation, Tag,
};
use crate::{DecodeError, Reader};

/// NETWORK_CREDENTIALS (7.11).
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct NetworkCredentials {
    pub memberships: Vec<CertificateOfMembership>,
    pub capabilities: Vec<Capability>,
    pub tags: Vec<Tag>,
    pub revocations: Vec<Revocation>,
    pub ownership: Vec<CertificateOfOwnership>,
}

const END_OF_MEMBERSHIPS: u8 = 0;

impl NetworkCredentials {
    /// Reads the payload, which may end after any section.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut credentials = Self::default();
        while let Some(first) = reader.remaining().first() {
            if *first == END_OF_MEMBERSHIPS {
                reader.skip(1);
                break;
            }
            credentials
                .memberships
                .push(CertificateOfMembership::decode(&mut reader)?);
        }
        credentials.capabilities = read_section(&mut reader, Capability::decode)?;
        credentials.tags = read_section(&mut reader, Tag::decode)?;
        credentials.revocations = read_section(&mut reader, Revocation::decode)?;
        credentials.ownership = read_section(&mut reader, CertificateOfOwnership::decode)?;
        Ok(credentials)
    }

    /// Appends the payload, all sections included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for membership in &self.memberships {
            membership.encode(out);
        }
        out.push(END_OF_MEMBERSHIPS);
        write_section(&self.capabilities, out, Capability::encode);
        write_section(&self.tags, out, Tag::encode);
        write_section(&self.revocations, out, Revocation::encode);
        write_section(&self.ownership, out, CertificateOfOwnership::encode);
    }
}

fn read_section<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if reader.is_empty() {
        return Ok(Vec::new());
    }
    let count = reader.u16("number of credentials")?;
    (0..count).map(|_| read(reader)).collect()
}

fn write_section<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    let items = &items[..items.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(items.len() as u16).to_be_bytes());
    items.iter().for_each(|item| write(item, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_section_may_be_the_last() {
        let mut bytes = Vec::new();
        NetworkCredentials::default().encode(&mut bytes);
        assert_eq!(bytes, [0; 9]);
        for length in [0, 1, 3, 5, 7, 9] {
            let credentials = NetworkCredentials::decode(&bytes[..length]);
            assert_eq!(credentials, Ok(NetworkCredentials::default()));
        }
        assert!(NetworkCredentials::decode(&bytes[..4]).is_err());
    }
}
