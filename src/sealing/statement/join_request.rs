//! The keys of somebody who becomes a member or renews their certificate.

use super::{Statement, StatementError, invalid, vouched::MAX_KEYS};
use crate::{
    domain::id::{MemberId, Sha256},
    sealing::recipient,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest request for a certificate, in bytes.
const MAX_CSR: usize = 16 * 1024;

/// The public keys of somebody who was invited, or whose certificate is renewed; signed by the new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Whose keys these are.
    pub member: MemberId,
    /// Digest of the [`MemberInvitation`](super::MemberInvitation) that is answered; none for a renewal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invitation_sha256: Option<Sha256>,
    /// age recipients: what is sealed to the member is sealed to each.
    pub recipients: Vec<String>,
    /// PKCS #10 in PEM.
    pub certificate_request: String,
    /// When the member says it was made.
    #[cfg_attr(feature = "server", schema(value_type = String, format = DateTime))]
    pub stated_at: Timestamp,
}

impl Statement for JoinRequest {
    const TYP: &'static str = "entente-join-request+jws";

    fn validate(&self) -> Result<(), StatementError> {
        if self.recipients.is_empty() || self.recipients.len() > MAX_KEYS {
            return Err(invalid(format_args!("a request names 1 to {MAX_KEYS} recipients")));
        }
        if self.certificate_request.len() > MAX_CSR {
            return Err(invalid("the request for a certificate is longer than 16 KiB"));
        }
        self.recipients.iter().try_for_each(|text| recipient::check_whole(text))?;
        Ok(())
    }

    fn stated_at(&self) -> Option<Timestamp> {
        Some(self.stated_at)
    }
}
