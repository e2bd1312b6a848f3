//! Certificates that come beside a key card: judged now, as if each came on a connection, so that nobody is vouched for who cannot connect.

use super::peer::Peer;
use crate::{
    domain::id::MemberId,
    sealing::card::MAX_KEYS,
    service::member_certificates::{JudgedCertificate, OfferedCertificate},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// One more than a key card names keys, so that too many are seen to be.
const MOST: usize = MAX_KEYS + 1;

/// Judges certificates of a member of the caller's own partner, of which the caller is a registrar; for anybody else no time is spent on them. It happens before the turn of
/// the act, off the threads that serve others.
pub(super) async fn judged(peer: &Peer, member: &MemberId, certificates: &[String]) -> Vec<JudgedCertificate> {
    if certificates.is_empty() || *member.partner() != peer.partner || !peer.is_registrar() {
        return Vec::new();
    }
    let (peer, certificates) = (peer.clone(), certificates.iter().take(MOST).cloned().collect::<Vec<_>>());
    let judge = move || certificates.iter().map(|pem| judge(&peer, pem)).collect();
    tokio::task::spawn_blocking(judge).await.expect("judging does not panic")
}

fn judge(peer: &Peer, pem: &str) -> JudgedCertificate {
    let read: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let read = read.map_err(|_| "a certificate is not in PEM".to_owned())?;
    let (leaf, above) = read.split_first().ok_or_else(|| "a certificate is not in PEM".to_owned())?;
    let found = peer.would_accept(leaf, above).map_err(|refusal| refusal.to_string())?;
    if found.partner != peer.partner {
        return Err(format!(
            "an authority of `{}` vouches for a certificate, and none of `{}`",
            found.partner, peer.partner
        ));
    }
    Ok(OfferedCertificate { der: leaf.to_vec(), named: found.san_member, not_after: found.chain_ends_at })
}
