//! Requests with as many lines as one may have, put together by hand: wrapped keys with nothing in them, and the beginning of a proposal
//! that asks many to join.

use super::{
    many::{self, Rows},
    stage::{Stage, code, id, slug},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{MemberId, ProposalId, Sha256, VaultId, WrappedKeyId},
        proposal::Parties,
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        identity::new_identity,
        jws::SigningKey,
        seal::seal_bytes,
        statement::{
            AcceptanceStatement, InvitationStatement, VaultStatement, WrapStatement, sign_statement, verify_signed,
        },
    },
    storage::{args, vaults},
    wire::proposal::{AcceptInvitation, CreateProposal, NewVault, WrappedKeyIn},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most keys in one request that only adds keys.
pub(crate) const KEYS: usize = 128;

/// The key with which a member of the cast signs.
pub(crate) fn signing_key(stage: &Stage, member: &str) -> SigningKey {
    let credential = stage.credential(member);
    SigningKey::from_pem(credential.private_key.expose().as_bytes(), credential.certificate.as_bytes()).unwrap()
}

/// A wrapped key with nothing in it, under a statement that fits.
pub(crate) fn wrap(key: &SigningKey, vault: VaultId, to: WrapTarget, recipient: &str) -> WrappedKeyIn {
    let recipient = recipient.to_owned();
    let ciphertext = seal_bytes(std::slice::from_ref(&recipient), b"nothing").unwrap();
    let statement = WrapStatement { vault, to, recipient, sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(key, &statement).unwrap();
    WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }
}

/// So many members of these nations in turn, each with four recipients, written to the tables: they have no certificates.
pub(crate) async fn guests(stage: &Stage, nations: &[&str], count: usize) -> Vec<(MemberId, String)> {
    let guest = |(nation, number): (&&str, usize)| id(&format!("{nation}:guest-{number}"));
    let members: Vec<MemberId> = nations.iter().cycle().zip(0..count).map(guest).collect();
    let each = |member: &MemberId| [(); 4].map(|()| (member.clone(), new_identity().recipient().to_owned()));
    let guests: Vec<_> = members.iter().flat_map(each).collect();
    let (db, mut rows) = (&stage.server.exchange.db, Rows::new());
    for member in &members {
        rows.member(member, &format!("Guests of {}", member.partner()), "");
    }
    rows.write(db).await;
    let mut tx = db.write().await.unwrap();
    for (member, recipient) in &guests {
        let sql = "INSERT INTO member_recipients (member, recipient) VALUES ($1, $2)";
        tx.execute(sql, args![member, recipient]).await.unwrap();
    }
    tx.commit().await.unwrap();
    many::index(db).await;
    guests
}

/// These become members of the proposal's parties and hold a key to each of its vaults, by the tables alone.
pub(crate) async fn hold_keys(stage: &Stage, proposal: ProposalId, guests: &[(MemberId, String)]) {
    let mut tx = stage.server.exchange.db.write().await.unwrap();
    let vaults = vaults::of_proposal(&mut tx, proposal).await.unwrap();
    let members: BTreeSet<&MemberId> = guests.iter().map(|(member, _)| member).collect();
    for member in members {
        let sql = "INSERT INTO proposal_members (proposal_id, member, partner, added_at) VALUES ($1, $2, $3, 0)";
        tx.execute(sql, args![proposal, member, member.partner()]).await.unwrap();
        for vault in &vaults {
            let key = WrappedKeyId::new(&SystemClock, &SystemRng);
            let sql = "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at) \
                       VALUES ($1, $2, $3, 'age1', 'a.b.c', $4, 'ISR:avi', 0)";
            tx.execute(sql, args![key, vault.id, member, vec![1_u8]]).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

/// A proposal of Avi's that asks all of these to join, with as many keys as it may begin with: for each of them to the panel's vault, and
/// to that of the parties as long as there is room. Korea's policies let nobody read.
pub(crate) async fn beginning(stage: &Stage, guests: &[(MemberId, String)]) -> CreateProposal {
    let (me, key) = (id("ISR:avi"), signing_key(stage, "ISR:avi"));
    let proposal = ProposalId::new_of(&me, &SystemClock, &SystemRng);
    let publication = stage.client("ISR:avi").call(stage.call).await.unwrap().publication.clone();
    let mut parties = Parties::from([(me.partner().clone(), [me.clone()].into())]);
    let mut invitations = BTreeMap::new();
    for (member, _) in guests {
        parties.entry(member.partner().clone()).or_default().insert(member.clone());
        let statement = InvitationStatement { proposal, member: member.clone(), stated_at: stage.clock.now() };
        invitations.insert(member.clone(), sign_statement(&key, &statement).unwrap());
    }
    let readers: Vec<_> = guests.iter().filter(|(member, _)| *member.partner() != code("KOR")).collect();
    let mut room = CreateProposal::MOST_KEYS;
    let mut vaults = Vec::new();
    for (kind, party) in
        [(VaultKind::Staff, Some(me.partner().clone())), (VaultKind::Panel, None), (VaultKind::Parties, None)]
    {
        let vault = VaultId::new_of(&me, &SystemClock, &SystemRng);
        let recipient = new_identity().recipient().to_owned();
        let mut keys = vec![wrap(&key, vault, WrapTarget::Vault(publication.vault), &publication.recipient)];
        let holders = if party.is_some() { &[] } else { &readers[..readers.len().min(room - 1)] };
        keys.extend(holders.iter().map(|(member, to)| wrap(&key, vault, WrapTarget::Member(member.clone()), to)));
        room -= keys.len();
        let statement = VaultStatement { vault, kind, call: stage.call, proposal: Some(proposal), party, recipient };
        vaults.push(NewVault { statement: sign_statement(&key, &statement).unwrap(), keys });
    }
    assert_eq!(room, 0, "it brings as many keys as it may");
    CreateProposal { id: proposal, call: stage.call, topic: Some(slug("navigation")), parties, invitations, vaults }
}

/// What a member of the cast accepts one of these invitations by.
pub(crate) fn acceptance(stage: &Stage, member: &str, begun: &CreateProposal) -> AcceptInvitation {
    let asked = verify_signed::<InvitationStatement>(&begun.invitations[&id(member)]).unwrap();
    let statement = AcceptanceStatement {
        proposal: begun.id,
        member: id(member),
        invitation_sha256: asked.payload_sha256,
        stated_at: stage.clock.now(),
    };
    AcceptInvitation { statement: sign_statement(&signing_key(stage, member), &statement).unwrap() }
}
