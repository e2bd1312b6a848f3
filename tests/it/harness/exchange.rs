//! A whole exchange in this process, over real mutual TLS, and people of made-up nations who hold keys to it.

use super::{
    kept_world::{UNHURRIED, owned},
    pki::{Issued, TestAuthority, dns, uri},
    process::PATIENCE,
    scratch::scratch,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    demo::world::example_policies,
    dev_pki::cast::{DemoNation, USA},
    domain::{
        ambient::{SystemClock, SystemRng},
        id::{CallId, MemberId, ProposalId, Sha256, VaultId},
        member::PartnerRole,
        policy::PolicyOwner,
    },
    http::{
        config::Config,
        crypto::provider,
        serve::{self, Running},
    },
    sealing::{
        card::{CardStatus, KeyCard, PartnerCard},
        identity::{NewIdentity, new_identity},
        jws::SigningKey,
        statement::{
            PolicyApproval, PolicyStatement, Statement, VaultKind, VaultStatement, WrapStatement, WrapTarget,
            sign_statement,
        },
        vault::VaultSecret,
    },
    service::operator,
};
use jiff::{SignedDuration, Timestamp};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use reqwest::{Method, RequestBuilder, Response};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A certificate authority.
pub(crate) struct Ca {
    pub(crate) pem: String,
    authority: TestAuthority,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let authority = TestAuthority::with(name, |_| {});
        Self { pem: authority.certificate.pem(), authority }
    }

    /// Key and certificate, PEM.
    fn issue(&self, name: SanType, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let Issued { certificate, key } = self.authority.issue(|params| {
            params.subject_alt_names = vec![name];
            params.extended_key_usages = vec![purpose];
        });
        (key.serialize_pem(), certificate.pem())
    }

    /// A person whose certificate names this member, which may be of any partner.
    pub(crate) fn person(&self, member: &str) -> Person {
        let member: MemberId = member.parse().unwrap();
        let (key_pem, certificate_pem) = self.issue(uri(&member.san_uri()), ExtendedKeyUsagePurpose::ClientAuth);
        let signing = SigningKey::from_pem(key_pem.as_bytes(), certificate_pem.as_bytes()).unwrap();
        Person { member, key_pem, certificate_pem, signing, identity: new_identity() }
    }
}

/// A partner: its authority and its registrar.
pub(crate) struct Nation {
    pub(crate) code: &'static str,
    pub(crate) ca: Ca,
    pub(crate) registrar: Person,
}

impl Nation {
    pub(crate) fn new(code: &'static str) -> Self {
        let ca = Ca::new(code);
        let registrar = ca.person(&format!("{code}:registrar"));
        Self { code, ca, registrar }
    }

    pub(crate) fn card(&self) -> PartnerCard {
        let registrars = [self.registrar.signing.spki_sha256()].into();
        PartnerCard::new(self.code.parse().unwrap(), self.code, "UTC", self.ca.pem.as_bytes(), registrars).unwrap()
    }

    /// The body that publishes a key card for somebody.
    pub(crate) fn publication(&self, person: &Person, roles: &[PartnerRole], serial: u64) -> Value {
        json!({ "key_card": self.vouch(person, roles, serial), "certificates": [person.certificate_pem] })
    }

    /// A key card for somebody, signed by this nation's registrar.
    pub(crate) fn vouch(&self, person: &Person, roles: &[PartnerRole], serial: u64) -> String {
        let now = now();
        let card = KeyCard {
            member: person.member.clone(),
            name: "Somebody".into(),
            // One each: colleagues of a party member are in conflict.
            organisation: format!("Laboratory of {}", person.member),
            roles: roles.iter().copied().collect(),
            recipients: vec![person.identity.recipient().to_owned()],
            certificates: vec![person.signing.spki_sha256()],
            serial,
            valid_from: now - SignedDuration::from_hours(1),
            valid_until: now + SignedDuration::from_hours(24),
            status: CardStatus::Active,
        };
        sign_statement(&self.registrar.signing, &card).unwrap()
    }
}

/// Somebody with a certificate and an age identity.
pub(crate) struct Person {
    pub(crate) member: MemberId,
    pub(crate) key_pem: String,
    pub(crate) certificate_pem: String,
    pub(crate) signing: SigningKey,
    pub(crate) identity: NewIdentity,
}

/// A vault that somebody made.
pub(crate) struct Vault {
    pub(crate) id: VaultId,
    pub(crate) secret: VaultSecret,
    pub(crate) statement: String,
}

impl Person {
    pub(crate) fn make_vault(&self, kind: VaultKind, call: CallId, proposal: Option<ProposalId>) -> Vault {
        let secret = VaultSecret::generate();
        let id = VaultId::new_of(&self.member, &SystemClock, &SystemRng);
        let party = (kind == VaultKind::Staff).then(|| self.member.partner().clone());
        let recipient = secret.recipient().to_owned();
        let statement = VaultStatement { vault: id, kind, call, proposal, party, recipient };
        Vault { id, statement: sign_statement(&self.signing, &statement).unwrap(), secret }
    }

    /// The vault's identity, wrapped to a recipient, as it travels.
    pub(crate) fn wrap(&self, vault: &Vault, to: WrapTarget, recipient: &str) -> Value {
        let ciphertext = vault.secret.wrap(recipient).unwrap();
        let sha256 = Sha256::of(&ciphertext);
        let statement = WrapStatement { vault: vault.id, to, recipient: recipient.to_owned(), sha256 };
        let statement = sign_statement(&self.signing, &statement).unwrap();
        json!({ "statement": statement, "ciphertext": BASE64_STANDARD.encode(ciphertext) })
    }

    pub(crate) fn wrap_to_self(&self, vault: &Vault) -> Value {
        self.wrap(vault, WrapTarget::Member(self.member.clone()), self.identity.recipient())
    }
}

/// A server that runs in this process, and a folder of its own.
pub(crate) struct Exchange {
    _folder: TempDir,
    pub(crate) running: Running,
    pub(crate) server_ca: Ca,
    stop: CancellationToken,
}

impl Exchange {
    /// Starts on free ports with these nations enrolled; the first hosts.
    pub(crate) async fn start(nations: &[&Nation]) -> Self {
        Self::start_with(nations, "").await
    }

    /// The same with more settings, TOML.
    pub(crate) async fn start_with(nations: &[&Nation], settings: &str) -> Self {
        Self::start_changed(nations, settings, |_| {}).await
    }

    /// The same with a configuration that is changed once it was read.
    pub(crate) async fn start_changed(nations: &[&Nation], settings: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = scratch();
        let server_ca = Ca::new("Server");
        let (key, certificate) = server_ca.issue(dns("localhost"), ExtendedKeyUsagePurpose::ServerAuth);
        let text = format!(
            "host = \"{}\"\n[api]\nlisten = \"127.0.0.1:0\"\ncertificate = \"server.pem\"\nprivate_key = \"key.pem\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"sqlite://entente.db\"\n[blobs]\nfolder = \"blobs\"\n\
             {settings}\n",
            nations[0].code,
        );
        for (file, text) in [("server.pem", &certificate), ("key.pem", &key), ("server.toml", &text)] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.path().join("key.pem"), private).unwrap();
        }
        let mut config = Config::load(Some(&folder.path().join("server.toml")), [], &owned(UNHURRIED)).unwrap();
        change(&mut config);
        let exchange = serve::open(&config, Arc::new(SystemClock), Arc::new(SystemRng)).await.unwrap();
        for nation in nations {
            operator::enrol(&exchange, &nation.card()).await.unwrap();
        }
        exchange.db.close().await;
        let stop = CancellationToken::new();
        let order = stop.clone().cancelled_owned();
        let running = serve::run(config, Arc::new(SystemClock), Arc::new(SystemRng), order).await.unwrap();
        Self { _folder: folder, running, server_ca, stop }
    }

    /// Somebody's connection.
    pub(crate) fn connect(&self, person: &Person) -> Connection {
        let tls = self.tls(Some(person));
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE).build().unwrap();
        Connection { http, base: format!("https://localhost:{}", self.running.api_addr.port()) }
    }

    /// The TLS of a client that trusts the server and shows somebody's certificate, or none.
    pub(crate) fn tls(&self, person: Option<&Person>) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.server_ca.pem.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let Some(person) = person else { return config.with_no_client_auth() };
        let certificate = CertificateDer::from_pem_slice(person.certificate_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(person.key_pem.as_bytes()).unwrap();
        config.with_client_auth_cert(vec![certificate], key).unwrap()
    }

    /// Puts a nation's example policies in force, if there are any: two officers, vouched for like anybody.
    async fn write_policies(&self, nation: &Nation) {
        let policies = example_policies(&[DemoNation { code: nation.code, ..USA }]);
        let Some((code, text)) = policies.into_iter().next() else { return };
        let registrar = self.connect(&nation.registrar);
        let officers = ["drafter", "approver"].map(|handle| nation.ca.person(&format!("{code}:{handle}")));
        for officer in &officers {
            let card = nation.publication(officer, &[PartnerRole::PolicyOfficer], 1);
            let path = format!("/v1/members/{}/key-card", officer.member);
            registrar.change(Method::PUT, &path, &card).await.expect_status(200).await;
        }
        let owner = PolicyOwner::Partner(code.clone());
        let text_sha256 = Sha256::of(text.as_bytes());
        let statement =
            PolicyStatement { owner: owner.clone(), version: 1, text_sha256, active_at: now(), follows: None };
        let policy_sha256 = statement.digest().unwrap();
        let body = json!({ "text": text, "statement": sign_statement(&officers[0].signing, &statement).unwrap() });
        let path = format!("/v1/policies/{code}/versions");
        self.connect(&officers[0]).change(Method::POST, &path, &body).await.expect_status(201).await;
        let approval = PolicyApproval { owner, version: 1, policy_sha256, preview_sha256: None };
        let body = json!({ "approval": sign_statement(&officers[1].signing, &approval).unwrap() });
        let path = format!("/v1/policies/{code}/versions/1/approve");
        self.connect(&officers[1]).change(Method::POST, &path, &body).await.expect_status(200).await;
    }

    /// Publishes the registrar's key card and then these members', and puts the nation's policies in force.
    pub(crate) async fn publish(&self, nation: &Nation, members: &[(&Person, &[PartnerRole])]) {
        let registrar = self.connect(&nation.registrar);
        let own: (&Person, &[PartnerRole]) = (&nation.registrar, &[PartnerRole::Registrar]);
        for (person, roles) in [own].into_iter().chain(members.iter().copied()) {
            let path = format!("/v1/members/{}/key-card", person.member);
            let card = nation.publication(person, roles, 1);
            registrar.change(Method::PUT, &path, &card).await.expect_status(200).await;
        }
        self.write_policies(nation).await;
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.running.ended().await.cut, 0);
    }
}

/// A client that knows nothing but HTTP and JSON.
pub(crate) struct Connection {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
}

impl Connection {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A change under a fresh idempotency key.
    pub(crate) async fn change(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).header("Idempotency-Key", fresh_key()).json(body).send().await.unwrap()
    }
}

/// What tests ask of an answer.
pub(crate) trait Answered {
    /// The JSON body, if the status is this one.
    async fn expect_status(self, status: u16) -> Value;
    /// Status and slug of a problem body.
    async fn problem(self) -> (u16, String);
}

impl Answered for Response {
    async fn expect_status(self, status: u16) -> Value {
        let found = self.status().as_u16();
        let text = self.text().await.unwrap();
        assert_eq!(found, status, "{text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn problem(self) -> (u16, String) {
        assert_eq!(self.headers()["content-type"], "application/problem+json");
        let status = self.status().as_u16();
        let problem: entente::wire::problem::Problem = self.json().await.unwrap();
        assert_eq!(problem.status, status);
        (status, problem.slug().to_owned())
    }
}

pub(crate) fn fresh_key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[expect(clippy::disallowed_methods, reason = "certificates made here are judged by the machine's clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}
