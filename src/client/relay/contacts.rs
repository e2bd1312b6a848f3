//! The nation's own list of where its members are told: the exchange knows none of it.

use super::mail::address as address_of;
use crate::domain::id::{MemberId, PartnerCode};
use jiff::tz::TimeZone;
use lettre::Address;
use std::collections::BTreeMap;

/// The most faults of a list that are named at once.
const FAULTS_NAMED: usize = 20;

/// Where one member is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contact {
    pub address: Option<Address>,
    /// The member's own zone; none for that of everybody.
    pub zone: Option<TimeZone>,
}

/// One row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactRow<'r> {
    pub line: u64,
    /// `avi` or `ISR:avi`.
    pub handle: &'r str,
    pub address: &'r str,
    /// An IANA name; empty for none.
    pub zone: &'r str,
}

/// The members of one nation, and where they are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contacts(BTreeMap<MemberId, Contact>);

impl Contacts {
    /// The list of a nation.
    ///
    /// # Errors
    /// What is wrong, each with its line.
    pub fn of<'r>(partner: &PartnerCode, rows: impl IntoIterator<Item = ContactRow<'r>>) -> Result<Self, Vec<String>> {
        let (mut contacts, mut lines, mut faults) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for row in rows {
            match contact(partner, &row) {
                Ok((member, _)) if contacts.contains_key(&member) => {
                    faults.push(format!("line {}: `{member}` is in line {}, too", row.line, lines[&member]));
                }
                Ok((member, contact)) => {
                    lines.insert(member.clone(), row.line);
                    contacts.insert(member, contact);
                }
                Err(fault) => faults.push(format!("line {}: {fault}", row.line)),
            }
            if faults.len() == FAULTS_NAMED {
                break;
            }
        }
        if faults.is_empty() { Ok(Self(contacts)) } else { Err(faults) }
    }

    #[must_use]
    pub fn get(&self, member: &MemberId) -> Option<&Contact> {
        self.0.get(member)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn contact(partner: &PartnerCode, row: &ContactRow<'_>) -> Result<(MemberId, Contact), String> {
    let ContactRow { handle, address, zone, .. } = *row;
    let whole = if handle.contains(':') { handle.to_owned() } else { format!("{partner}:{handle}") };
    let member: MemberId = whole.parse().map_err(|_| format!("`{handle}` is not a member's handle"))?;
    if member.partner() != partner {
        return Err(format!("`{member}` is not a member of {partner}; a relay tells its own nation's members alone"));
    }
    let address = match address {
        "" => None,
        text => Some(address_of(text).ok_or_else(|| format!("`{text}` is not an address of mail"))?),
    };
    let zone = match zone {
        "" => None,
        name => Some(TimeZone::get(name).map_err(|_| format!("`{name}` is not an IANA time zone"))?),
    };
    Ok((member, Contact { address, zone }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'r>(line: u64, handle: &'r str, address: &'r str, zone: &'r str) -> ContactRow<'r> {
        ContactRow { line, handle, address, zone }
    }

    fn list(rows: &[ContactRow<'_>]) -> Result<Contacts, Vec<String>> {
        Contacts::of(&"ISR".parse().unwrap(), rows.iter().copied())
    }

    #[test]
    fn handles_are_read_with_and_without_the_nation() {
        let rows = [row(2, "avi", "avi@example.org", "Asia/Jerusalem"), row(3, "ISR:gal", "gal@example.org", "")];
        let contacts = list(&rows).unwrap();
        let of = |member: &str| contacts.get(&member.parse().unwrap()).unwrap();
        assert_eq!(of("ISR:avi").zone.as_ref().unwrap().iana_name(), Some("Asia/Jerusalem"));
        assert_eq!((of("ISR:gal").zone.is_none(), contacts.len()), (true, 2));
    }

    #[test]
    fn faults_are_named_with_their_lines() {
        let rows = [
            row(2, "avi", "avi@example.org", ""),
            row(3, "ISR:avi", "avi@example.org", ""),
            row(4, "USA:bob", "bob@example.org", ""),
            row(5, "no handle", "x@example.org", ""),
            row(6, "gal", "nobody", ""),
            row(7, "tamar", "tamar@example.org", "Mars/Olympus"),
        ];
        let faults = list(&rows).unwrap_err();
        for (fault, wanted) in faults.iter().zip([
            "line 3: `ISR:avi` is in line 2, too",
            "line 4: `USA:bob` is not a member of ISR",
            "line 5: `no handle` is not a member's handle",
            "line 6: `nobody` is not an address of mail",
            "line 7: `Mars/Olympus` is not an IANA time zone",
        ]) {
            assert!(fault.starts_with(wanted), "{fault}");
        }
        assert_eq!(faults.len(), 5);
        let many: Vec<_> = (2..100).map(|line| row(line, "", "", "")).collect();
        assert_eq!(list(&many).unwrap_err().len(), FAULTS_NAMED);
    }
}
