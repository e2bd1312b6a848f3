//! The wrapped keys to a vault, tried one after the other, and which of one's own open.
//!
//! Several stand side by side, each by another member, and the exchange does not know which of them opens. So a key that does not
//! open keeps nobody out while another does; it is reported, with the member who wrapped it. Nothing is discarded unless that is asked for,
//! and then only what cannot be right: a key for an identity that is not on this machine may be as good as any.

use super::{
    Client, ClientError, Result, blocking,
    naming::IdName,
    verified::VerifiedCall,
    verify::{check_wrap, invalid},
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, VaultId, WrappedKeyId},
        vault::VaultKind,
    },
    sealing::{
        identity::{Identity, Keyring},
        seal::SealError,
        statement::{Signed, VaultStatement, WrapStatement, verify_signed},
        vault::{VaultError, VaultSecret},
    },
    wire::proposal::{Vault, WrappedKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt;

/// A wrapped key that cannot be right: it does not open, or there is something else in it.
#[derive(Debug)]
pub struct BrokenKey {
    pub vault: VaultId,
    pub kind: VaultKind,
    pub key: WrappedKeyId,
    /// A member, or the call's vault.
    pub holder: String,
    pub wrapped_by: MemberId,
    pub fault: ClientError,
}

impl fmt::Display for BrokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, holder, wrapped_by, fault, .. } = self;
        write!(f, "the key to the {kind} vault that `{wrapped_by}` wrapped for `{holder}` does not open: {fault}")
    }
}

/// A wrapped key of one's own, or one that is missing, and what became of trying it.
#[derive(Debug)]
pub struct CheckedKey {
    pub vault: VaultId,
    pub kind: VaultKind,
    /// A member, or the call's vault.
    pub holder: String,
    pub recipient: String,
    /// Whether the holder's key card in force names the recipient.
    pub is_on_card: bool,
    pub found: KeyState,
}

/// What became of trying a wrapped key.
#[derive(Debug)]
pub enum KeyState {
    /// It opens the vault.
    Opens { key: WrappedKeyId, wrapped_by: MemberId },
    /// It cannot be right.
    Broken { key: WrappedKeyId, wrapped_by: MemberId, fault: ClientError },
    /// It is for an identity that cannot be used on this machine.
    Elsewhere { key: WrappedKeyId, wrapped_by: MemberId, fault: ClientError },
    /// The key card names the recipient, and there is no key for it.
    Missing,
}

/// What became of trying the keys to a vault until one opened.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) secret: Option<VaultSecret>,
    pub(super) broken: Vec<BrokenKey>,
    elsewhere: Option<ClientError>,
}

impl Opening {
    /// Goes on with further keys, if none opened so far.
    pub(super) fn or(mut self, further: Self) -> Self {
        self.broken.extend(further.broken);
        Self { secret: self.secret.or(further.secret), elsewhere: self.elsewhere.or(further.elsewhere), ..self }
    }

    /// The vault's identity, or which keys did not open it.
    pub(super) fn into_secret(self, kind: VaultKind) -> Result<VaultSecret> {
        let Self { secret, broken, elsewhere } = self;
        if let Some(secret) = secret {
            return Ok(secret);
        }
        if broken.is_empty() {
            return Err(elsewhere.unwrap_or_else(|| SealError::NoMatchingIdentity.into()));
        }
        let whose = |key: &BrokenKey| format!("the one that `{}` wrapped: {}", key.wrapped_by, key.fault);
        let each = broken.iter().map(whose).collect::<Vec<_>>().join("; ");
        Err(ClientError::unverified(
            format!("no key to the {kind} vault opens: {each}"),
            "`entente key check` shows your keys, and with `--remove` discards those that do not open; then a colleague, the \
             counterpart or an officer wraps a new one with `entente key share`. If it is wrapped to the call's vault, ask another \
             member of its parties to run `entente key share PROPOSAL --to-call`",
        ))
    }
}

fn broken(key: &WrappedKey, vault: &VaultStatement, fault: ClientError) -> BrokenKey {
    BrokenKey {
        vault: vault.vault,
        kind: vault.kind,
        key: key.id,
        holder: key.holder.clone(),
        wrapped_by: key.wrapped_by.clone(),
        fault,
    }
}

/// What keys are tried with.
pub(super) struct KeyTrial<'i> {
    pub(super) identities: &'i [&'i dyn Identity],
    /// Their recipients, as far as the identities give them.
    pub(super) recipients: &'i [String],
}

/// What became of one key.
enum TrialOutcome {
    Opens(VaultSecret),
    Broken(ClientError),
    Elsewhere(ClientError),
}

impl KeyTrial<'_> {
    /// Tries keys in their order until one opens.
    pub(super) fn open(&self, keys: &[WrappedKey], vault: &VaultStatement) -> Opening {
        let mut opening = Opening::default();
        for key in keys {
            match self.open_one(key, vault) {
                TrialOutcome::Opens(secret) => return Opening { secret: Some(secret), ..opening },
                TrialOutcome::Elsewhere(fault) => opening.elsewhere = Some(fault),
                TrialOutcome::Broken(fault) => opening.broken.push(broken(key, vault, fault)),
            }
        }
        opening
    }

    fn open_one(&self, key: &WrappedKey, vault: &VaultStatement) -> TrialOutcome {
        let Ok(ciphertext) = BASE64_STANDARD.decode(&key.ciphertext) else {
            return TrialOutcome::Broken(invalid("a wrapped key is not base64"));
        };
        if let Err(fault) = check_wrap(key, vault, &ciphertext) {
            return TrialOutcome::Broken(fault);
        }
        match VaultSecret::unwrap(&ciphertext, self.identities, &vault.recipient) {
            Ok(secret) => TrialOutcome::Opens(secret),
            Err(VaultError::Seal(SealError::NoMatchingIdentity)) if self.recipients.contains(&key.recipient) => {
                TrialOutcome::Broken(invalid("it is sealed to somebody else than its statement says"))
            }
            Err(VaultError::Seal(SealError::Damaged | SealError::Shape(_) | SealError::Truncated)) => {
                TrialOutcome::Broken(invalid("it is damaged"))
            }
            // A plugin, a file or an identity of this machine stands in the way.
            Err(VaultError::Seal(error)) => TrialOutcome::Elsewhere(error.into()),
            Err(error) => TrialOutcome::Broken(error.into()),
        }
    }

    fn check(&self, key: &WrappedKey, vault: &VaultStatement, is_on_card: bool) -> CheckedKey {
        let (id, wrapped_by) = (key.id, key.wrapped_by.clone());
        let found = match self.open_one(key, vault) {
            TrialOutcome::Opens(_) => KeyState::Opens { key: id, wrapped_by },
            TrialOutcome::Broken(fault) => KeyState::Broken { key: id, wrapped_by, fault },
            TrialOutcome::Elsewhere(fault) => KeyState::Elsewhere { key: id, wrapped_by, fault },
        };
        let (holder, recipient) = (key.holder.clone(), key.recipient.clone());
        CheckedKey { vault: vault.vault, kind: vault.kind, holder, recipient, is_on_card, found }
    }
}

impl Client {
    /// Tries every wrapped key that the exchange gives out for a proposal: one's own, and as an officer those to the call's vault.
    pub async fn check_keys(&self, id: ProposalId) -> Result<Vec<CheckedKey>> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?.to_string();
        let mut checked = Vec::new();
        for vault in self.api().vaults(id).await? {
            let vault = self.verify_vault(&vault, &proposal, &call).await?;
            let (own, through): (Vec<_>, Vec<_>) = vault.vault.keys.iter().cloned().partition(|key| key.holder == me);
            if !own.is_empty() {
                checked.extend(self.check_own(own, vault.statement.clone()).await?);
            }
            let through: Vec<_> =
                through.into_iter().filter(|key| key.holder == call.publication.vault.to_string()).collect();
            if !through.is_empty() {
                let call_vault = self.call_vault(&call).await?;
                let (identity, recipient) = (call_vault.identity(), [call_vault.recipient().to_owned()]);
                let trying = KeyTrial { identities: &[identity], recipients: &recipient };
                checked.extend(through.iter().map(|key| trying.check(key, &vault.statement, true)));
            }
        }
        Ok(checked)
    }

    /// Tries every wrapped key of one's own to a call's vault, as an officer.
    pub async fn check_call_keys(&self, id: CallId) -> Result<Vec<CheckedKey>> {
        let call = self.call(id).await?;
        let me = self.member_id().await?.to_string();
        let vault = self.api().call_vault(id).await?;
        let own = vault.keys.into_iter().filter(|key| key.holder == me).collect();
        self.check_own(own, call_vault_statement(&call)).await
    }

    /// Discards the key of one's own to a proposal's vaults that has this identifier, whatever is in it. None is tried, so that one for
    /// an identity that is not here can go, too.
    pub async fn discard_one(&self, id: ProposalId, key: &IdName<WrappedKeyId>) -> Result<WrappedKeyId> {
        let vaults = self.api().vaults(id).await?;
        self.discard_among(&vaults, key).await
    }

    /// The same of the officers' keys to a call's vault.
    pub async fn discard_one_of_call(&self, id: CallId, key: &IdName<WrappedKeyId>) -> Result<WrappedKeyId> {
        let vault = self.api().call_vault(id).await?;
        self.discard_among(&[vault], key).await
    }

    async fn discard_among(&self, vaults: &[Vault], key: &IdName<WrappedKeyId>) -> Result<WrappedKeyId> {
        let me = self.member_id().await?.to_string();
        let own = vaults.iter().flat_map(|vault| vault.keys.iter().map(move |found| (vault.id, found)));
        let mut meant = own.filter(|(_, found)| found.holder == me && key.means(&found.id));
        let (Some((vault, found)), None) = (meant.next(), meant.next()) else {
            let what = format!("`{key}` is not one of your keys there, or could be several");
            return Err(ClientError::usage(what, "`entente key check` lists your keys with their identifiers"));
        };
        self.discard_key(vault, found.id).await?;
        Ok(found.id)
    }

    /// Discards a key of one's own, so that somebody can wrap a new one.
    pub async fn discard_key(&self, vault: VaultId, key: WrappedKeyId) -> Result<()> {
        self.api().discard_key(vault, key).await
    }

    /// Reports keys that did not open beside one that did.
    pub(super) fn tell_broken(&self, broken: &[BrokenKey]) {
        for key in broken {
            self.warn(&format!("{key}; another one did: see `entente key check`"));
        }
    }

    /// Tries one's own keys with the identities of the profile.
    pub(super) async fn open_own(&self, keys: Vec<WrappedKey>, statement: VaultStatement) -> Result<Opening> {
        let keyring = self.keyring().await?;
        let (keys, unverified) = self.verified_if_needed(&keyring, keys).await?;
        let broken = unverified.into_iter().map(|(key, fault)| broken(&key, &statement, fault)).collect();
        let opening = blocking(move || {
            let trying = KeyTrial { identities: &keyring.identities(), recipients: keyring.recipients() };
            Ok(trying.open(&keys, &statement))
        });
        Ok(opening.await?.or(Opening { broken, ..Opening::default() }))
    }

    /// The keys that may be tried with these identities, and those that may not, with the reason. How long it takes to open something with an
    /// `ssh-rsa` identity can reveal the private key to one who chooses what is opened (RUSTSEC-2023-0071). So with such an identity a key
    /// is tried only if a key card shows that its signer is the member who wrapped it.
    async fn verified_if_needed(
        &self,
        keyring: &Keyring,
        keys: Vec<WrappedKey>,
    ) -> Result<(Vec<WrappedKey>, Vec<(WrappedKey, ClientError)>)> {
        if !keyring.has_rsa() {
            return Ok((keys, Vec::new()));
        }
        let (mut verified, mut unverified) = (Vec::new(), Vec::new());
        for key in keys {
            let signed: Signed<WrapStatement> = match verify_signed(&key.statement) {
                Ok(signed) => signed,
                Err(error) => {
                    unverified.push((key, error.into()));
                    continue;
                }
            };
            match self.verified_signer(&signed, &[key.wrapped_by.partner().clone()].into()).await {
                Ok(signer) if *signer.id() == key.wrapped_by => verified.push(key),
                Ok(_) => {
                    unverified.push((key, invalid("a wrapped key is signed by somebody else than the exchange says")));
                }
                Err(error @ ClientError::Unverified { .. }) => unverified.push((key, error)),
                Err(error) => return Err(error),
            }
        }
        Ok((verified, unverified))
    }

    async fn check_own(&self, keys: Vec<WrappedKey>, statement: VaultStatement) -> Result<Vec<CheckedKey>> {
        let me = self.member_id().await?;
        let card = self.fetch_member(&me).await?;
        let keyring = self.keyring().await?;
        let (keys, unverified) = self.verified_if_needed(&keyring, keys).await?;
        blocking(move || {
            let named = card.recipients();
            let trying = KeyTrial { identities: &keyring.identities(), recipients: keyring.recipients() };
            let mut checked: Vec<_> =
                keys.iter().map(|key| trying.check(key, &statement, named.contains(&key.recipient))).collect();
            let is_there = |recipient: &String| {
                keys.iter().chain(unverified.iter().map(|(key, _)| key)).any(|key| key.recipient == *recipient)
            };
            let missing: Vec<String> = named.iter().filter(|recipient| !is_there(recipient)).cloned().collect();
            checked.extend(unverified.into_iter().map(|(key, fault)| CheckedKey {
                vault: statement.vault,
                kind: statement.kind,
                is_on_card: named.contains(&key.recipient),
                found: KeyState::Broken { key: key.id, wrapped_by: key.wrapped_by, fault },
                holder: key.holder,
                recipient: key.recipient,
            }));
            checked.extend(missing.into_iter().map(|recipient| CheckedKey {
                vault: statement.vault,
                kind: statement.kind,
                holder: me.to_string(),
                recipient,
                is_on_card: true,
                found: KeyState::Missing,
            }));
            Ok(checked)
        })
        .await
    }
}

/// What a call's signed publication says of its vault, in the form in which other vaults are stated.
pub(super) fn call_vault_statement(call: &VerifiedCall) -> VaultStatement {
    VaultStatement {
        vault: call.publication.vault,
        kind: VaultKind::Call,
        call: call.call.id,
        proposal: None,
        party: None,
        recipient: call.publication.recipient.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{Nation, Person, proposal},
        domain::{id::Sha256, vault::WrapTarget},
        sealing::{
            identity::{Keyring, NoPrompt, new_identity},
            seal::seal_bytes,
            statement::{WrapStatement, sign_statement},
        },
    };

    /// A reader with an identity, a vault, and somebody who wraps.
    struct Desk {
        reader: Person,
        wrapper: Person,
        secret: VaultSecret,
        vault: VaultStatement,
    }

    impl Desk {
        fn new() -> Self {
            let secret = VaultSecret::generate();
            let vault = VaultStatement {
                vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
                kind: VaultKind::Panel,
                call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
                proposal: Some(proposal().id),
                party: None,
                recipient: secret.recipient().to_owned(),
            };
            Self { reader: Nation::new("ISR").member("avi"), wrapper: Nation::new("USA").member("bob"), secret, vault }
        }

        fn statement(&self, ciphertext: &[u8]) -> WrapStatement {
            WrapStatement {
                vault: self.vault.vault,
                to: WrapTarget::Member(self.reader.card.member.clone()),
                recipient: self.reader.card.recipients[0].clone(),
                sha256: Sha256::of(ciphertext),
            }
        }

        fn key(&self, wrap: &WrapStatement, ciphertext: &[u8]) -> WrappedKey {
            WrappedKey {
                id: "key_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
                holder: self.reader.card.member.to_string(),
                recipient: wrap.recipient.clone(),
                statement: sign_statement(&self.wrapper.key, wrap).unwrap(),
                ciphertext: BASE64_STANDARD.encode(ciphertext),
                wrapped_by: self.wrapper.card.member.clone(),
            }
        }

        /// A key with these bytes under a statement that fits them.
        fn fitting(&self, ciphertext: &[u8]) -> WrappedKey {
            self.key(&self.statement(ciphertext), ciphertext)
        }

        fn good(&self) -> WrappedKey {
            self.fitting(&self.secret.wrap(&self.reader.card.recipients[0]).unwrap())
        }

        /// One of each kind that cannot be right.
        fn broken(&self) -> Vec<WrappedKey> {
            let recipient = &self.reader.card.recipients[0];
            let (ciphertext, other) =
                (self.secret.wrap(recipient).unwrap(), VaultSecret::generate().wrap(recipient).unwrap());
            let wrap = self.statement(&ciphertext);
            let elsewhere =
                WrapStatement { vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGB".parse().unwrap(), ..wrap.clone() };
            let mut damaged = ciphertext.clone();
            *damaged.last_mut().unwrap() ^= 1;
            vec![
                self.key(&elsewhere, &ciphertext),
                self.key(&wrap, &other),
                self.fitting(&other),
                self.fitting(&damaged),
                self.fitting(&seal_bytes(std::slice::from_ref(recipient), b"no identity").unwrap()),
                self.fitting(&self.secret.wrap(new_identity().recipient()).unwrap()),
                WrappedKey { ciphertext: "?".into(), ..self.good() },
            ]
        }

        fn open(&self, keys: &[WrappedKey]) -> Opening {
            let text = self.reader.identity.secret();
            let keyring = Keyring::parse(text.expose().as_bytes(), "avi", &NoPrompt).unwrap();
            KeyTrial { identities: &keyring.identities(), recipients: keyring.recipients() }.open(keys, &self.vault)
        }
    }

    #[test]
    fn key_that_cannot_be_right_is_refused_and_named_with_its_wrapper() {
        let desk = Desk::new();
        for key in desk.broken() {
            let opening = desk.open(&[key]);
            assert_eq!(opening.broken.len(), 1);
            let error = opening.into_secret(VaultKind::Panel).unwrap_err();
            assert_eq!(error.class().code(), 4, "{error}");
            assert!(error.to_string().contains("the one that `USA:bob` wrapped: "), "{error}");
        }
    }

    #[test]
    fn one_key_that_opens_is_enough_whatever_stands_before_it() {
        let desk = Desk::new();
        let mut keys = desk.broken();
        let broken = keys.len();
        keys.push(desk.good());
        let opening = desk.open(&keys);
        assert_eq!(opening.broken.len(), broken);
        assert_eq!(opening.into_secret(VaultKind::Panel).unwrap().recipient(), desk.secret.recipient());
    }

    #[test]
    fn key_for_an_identity_that_is_not_here_is_not_called_broken() {
        let desk = Desk::new();
        let elsewhere = new_identity();
        let ciphertext = desk.secret.wrap(elsewhere.recipient()).unwrap();
        let wrap = WrapStatement { recipient: elsewhere.recipient().to_owned(), ..desk.statement(&ciphertext) };
        let opening = desk.open(&[desk.key(&wrap, &ciphertext)]);
        assert!(opening.broken.is_empty());
        assert_eq!(opening.into_secret(VaultKind::Panel).unwrap_err().class().code(), 1);
    }
}
