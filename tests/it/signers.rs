//! Other signers than the private key of the profile: whole acts signed by one that keeps its key to itself, and acts that a signer
//! refuses to sign.

use crate::harness::stage::{Stage, Step, id};
use entente::{
    client::{ExitClass, directory::NewKeyCard},
    domain::{
        id::{MemberId, Sha256},
        proposal::Status,
    },
    sealing::{
        jws::spki_sha256,
        signer::{SignatureAlgorithm, Signer, SignerError},
        statement::{VaultStatement, WrapStatement, verify_signed},
    },
};
use rcgen::{
    Certificate, CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// A message to sign, and where the signature goes.
type Request = (Vec<u8>, mpsc::Sender<Vec<u8>>);

/// A card in its reader: the key is made in a thread of its own and never leaves it.
#[derive(Debug)]
struct Inserted {
    certificate: Vec<u8>,
    pem: String,
    requests: mpsc::Sender<Request>,
}

impl Inserted {
    /// A new card whose certificate, by the authority of their nation, names the member.
    fn of(stage: &Stage, member: &MemberId) -> Self {
        let name = SanType::URI(member.san_uri().try_into().unwrap());
        let files = stage.plan.dir.join("pki").join(member.partner().as_str());
        let [ca, key] = ["crt", "key"].map(|kind| fs::read_to_string(files.join(format!("ca.{kind}"))).unwrap());
        let authority = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).unwrap()).unwrap();
        let ((requests, asked), (shows, shown)) = (mpsc::channel::<Request>(), mpsc::channel());
        thread::spawn(move || {
            let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.subject_alt_names = vec![name];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.not_after = date_time_ymd(2100, 12, 31);
            shows.send(params.signed_by(&key, &authority).unwrap()).unwrap();
            for (message, answer) in asked {
                answer.send(rcgen::SigningKey::sign(&key, &message).unwrap()).unwrap();
            }
        });
        let certificate: Certificate = shown.recv().unwrap();
        Self { certificate: certificate.der().to_vec(), pem: certificate.pem(), requests }
    }
}

impl Signer for Inserted {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EdDsa
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let (answer, signature) = mpsc::channel();
        self.requests.send((message.to_vec(), answer)).map_err(|error| SignerError::Absent(error.to_string()))?;
        signature.recv().map_err(|error| SignerError::Absent(error.to_string()))
    }
}

/// A card whose PIN is typed wrongly, and how often it was.
#[derive(Debug)]
struct WrongPin {
    certificate: Vec<u8>,
    tried: AtomicUsize,
}

impl WrongPin {
    fn of(stage: &Stage, member: &str) -> Arc<Self> {
        let certificate = stage.credential(member).certificate.as_bytes();
        let certificate = CertificateDer::from_pem_slice(certificate).unwrap().to_vec();
        Arc::new(Self { certificate, tried: AtomicUsize::new(0) })
    }

    fn tried(&self) -> usize {
        self.tried.load(Ordering::SeqCst)
    }
}

impl Signer for WrongPin {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Es256
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        Err(SignerError::Refused("the PIN is wrong, 2 tries are left".into()))
    }
}

const REFUSED: &str = "the signing key was not unlocked: the PIN is wrong, 2 tries are left";

/// The registrar adds a certificate to the member's key card.
async fn pins(stage: &Stage, member: &str, pin: Sha256, certificate: &str) {
    let present = stage.again("USA:dana").issued_member(&id(member)).await.unwrap().card.clone();
    let new = NewKeyCard {
        certificates: present.certificates.iter().copied().chain([pin]).collect(),
        shown: vec![certificate.to_owned()],
        ..NewKeyCard::like(present)
    };
    stage.client(&format!("{}:registrar", &member[..3])).issue_key_card(&new).await.unwrap();
}

#[tokio::test]
async fn proposal_is_begun_shared_and_signed_by_a_card_that_keeps_its_key() {
    let stage = Stage::open().await;
    let card = Arc::new(Inserted::of(&stage, &id("ISR:avi")));
    let pin = spki_sha256(card.certificate()).unwrap();
    pins(&stage, "ISR:avi", pin, &card.pem).await;
    let avi = stage.again("ISR:avi").with_signer(card);

    let begun = avi.create_proposal(&stage.joint()).await.unwrap();
    // Each who joins verifies who asked them to.
    stage.join_all(&begun).await.unwrap();
    stage.upload_all(begun.id).await;
    let plan = avi.plan_signature(begun.id).await.unwrap();
    avi.sign(&plan).await.unwrap();
    stage.sign("USA:bob", begun.id).await;
    assert_eq!(avi.api().proposal(begun.id).await.unwrap().status, Status::Submitted);

    let vaults = avi.api().vaults(begun.id).await.unwrap();
    let mine: Vec<_> =
        vaults.iter().filter(|vault| vault.party.as_ref().is_none_or(|party| party.as_str() == "ISR")).collect();
    assert_eq!(mine.len(), 3, "{vaults:?}");
    for vault in mine {
        assert_eq!(verify_signed::<VaultStatement>(&vault.statement).unwrap().signer_spki, pin);
        for key in vault.keys.iter().filter(|key| key.wrapped_by == id("ISR:avi")) {
            assert_eq!(verify_signed::<WrapStatement>(&key.statement).unwrap().signer_spki, pin);
        }
    }
    stage.stop().await;
}

#[tokio::test]
async fn act_that_the_signer_refuses_to_sign_is_not_sent_and_says_why() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let avi = stage.again("ISR:avi").with_signer(WrongPin::of(&stage, "ISR:avi"));
    let plan = avi.plan_signature(proposal).await.unwrap();
    stage.declines(ExitClass::Failure, REFUSED, avi.sign(&plan)).await;
    stage.declines(ExitClass::Failure, REFUSED, avi.create_proposal(&stage.joint())).await;
    let help = avi.sign(&plan).await.unwrap_err().help().to_owned();
    assert!(help.starts_with("it was not sent; run the command again with the right PIN"), "{help}");
    // Nothing stands in the way of signing it after all.
    stage.sign("ISR:avi", proposal).await;
    stage.stop().await;
}

#[tokio::test]
async fn refused_signer_is_not_tried_again_for_each_of_a_series() {
    let (stage, proposal) = Stage::at(Step::AwaitingKeys).await;
    assert!(stage.client("USA:dana").api().missing_keys(proposal).await.unwrap().len() > 1, "each is signed for");
    let signer = WrongPin::of(&stage, "USA:dana");
    let dana = stage.again("USA:dana").with_signer(signer.clone());
    stage.declines(ExitClass::Failure, REFUSED, dana.wrap_missing(proposal)).await;
    assert_eq!(signer.tried(), 1);
    stage.declines(ExitClass::Failure, REFUSED, dana.prepare_panel(stage.call)).await;
    assert_eq!(signer.tried(), 2);
    stage.stop().await;
}
