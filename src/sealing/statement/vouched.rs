//! What a registrar says of a member alike in an invitation and in a key card: how names are written, which roles go together, how many keys
//! there may be.

use super::{StatementError, invalid};
use crate::domain::member::PartnerRole;
use std::collections::BTreeSet;

/// How many recipients, and how many keys, a key card names.
pub const MAX_KEYS: usize = 16;
const MAX_NAME: usize = 200;

/// Checks the name of a person, a system or an organisation.
pub(in crate::sealing) fn check_name(what: &str, name: &str) -> Result<(), StatementError> {
    let len = name.chars().count();
    if len == 0 || len > MAX_NAME || name.trim() != name || name.chars().any(char::is_control) {
        return Err(invalid(format_args!(
            "the {what} must have 1 to {MAX_NAME} characters on one line, without spaces around it"
        )));
    }
    Ok(())
}

/// Checks that a relay is nothing else: it runs unattended, and is to learn numbers alone.
pub(in crate::sealing) fn check_roles(roles: &BTreeSet<PartnerRole>) -> Result<(), StatementError> {
    if roles.contains(&PartnerRole::Relay) && roles.len() > 1 {
        return Err(invalid("the role `relay` goes with no other role; give the relay a member of its own"));
    }
    Ok(())
}
