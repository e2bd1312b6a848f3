//! An exchange with its nations and members on one machine: a development PKI, a server and a home for every member.
//!
//! Everything is made through what the product has: partners are enrolled by the operator's function, key cards are issued
//! by registrars over mutual TLS, members act through the same client library as the command line.

use crate::{
    client::{Ambient, Client, ClientError, Home, Profile, directory::NewKeyCard},
    dev_pki::{
        CertificateAndKey, DevPki, PartnerSpec, Spec,
        cast::{Cast, DemoNation, POLICY_OFFICERS},
    },
    domain::{
        ambient::{Clock, Rng},
        id::{MemberId, PartnerCode},
        member::PartnerRole,
        policy::PolicyOwner,
    },
    http::{
        config::Config,
        serve::{self, Running},
    },
    sealing::identity::{NoPrompt, new_identity, write_identity_file},
    service::operator,
    storage::PostgresLimits,
    wire::proposal::Proposal,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Notify;

/// Any failure while the world is made; the demonstration ends with it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The policies that come with the program as examples.
const EXAMPLES: &[(&str, &str)] = &[
    ("USA", include_str!("../../policies/partners/USA.cedar")),
    ("ISR", include_str!("../../policies/partners/ISR.cedar")),
    ("KOR", include_str!("../../policies/partners/KOR.cedar")),
    ("GBR", include_str!("../../policies/partners/GBR.cedar")),
    ("EU", include_str!("../../policies/partners/EU.cedar")),
];

/// The example policies of those nations for which there are any.
#[must_use]
pub fn example_policies(nations: &[DemoNation]) -> BTreeMap<PartnerCode, String> {
    let of = |nation: &DemoNation| {
        let (_, text) = EXAMPLES.iter().find(|(code, _)| *code == nation.code)?;
        Some((nation.code.parse().ok()?, (*text).to_owned()))
    };
    nations.iter().filter_map(of).collect()
}

/// Where the world lives and how.
#[derive(Debug, Clone)]
pub struct DemoPlan {
    pub dir: PathBuf,
    /// `sqlite://…` or `postgres://…`.
    pub database_url: String,
    /// The policies that each partner's officers put in force, by the partner's code.
    pub policies: BTreeMap<PartnerCode, String>,
    pub host: &'static str,
    pub nations: &'static [DemoNation],
    /// Settings of the server beyond the usual, as `key`, `value`.
    pub settings: Vec<(String, String)>,
    /// How long the server waits for PostgreSQL.
    pub database_limits: PostgresLimits,
}

/// A running exchange and its members.
#[derive(Debug)]
pub struct DemoWorld {
    pub plan: DemoPlan,
    pub pki: Arc<DevPki>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub server: Running,
    stop: Arc<Notify>,
    pub clients: BTreeMap<MemberId, Client>,
}

impl DemoWorld {
    /// Makes the PKI, starts the server, enrols the partners and gives every member a home, an identity and a key card.
    pub async fn start(plan: DemoPlan, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Self, Error> {
        let pki = DevPki::generate(&pki_spec(&plan, clock.now())?, &*rng)?;
        let pki_dir = plan.dir.join("pki");
        pki.write(&pki_dir)?;
        let crls = plan.dir.join("crls");
        fs::create_dir_all(&crls)?;
        for (code, partner) in &pki.partners {
            fs::write(crls.join(format!("{code}.pem")), &partner.crl)?;
        }
        let config = config(&plan)?;
        // As the operator does with `entente-server partner add`, before anybody can connect.
        let exchange = serve::open(&config, clock.clone(), rng.clone()).await?;
        for partner in pki.partners.values() {
            operator::enrol(&exchange, &partner.card).await?;
        }
        exchange.db.close().await;
        let stop = Arc::new(Notify::new());
        let order = stop.clone();
        let server = serve::run(config, clock.clone(), rng.clone(), async move { order.notified().await }).await?;
        let mut world = Self { plan, pki: Arc::new(pki), clock, rng, server, stop, clients: BTreeMap::new() };
        for nation in world.plan.nations {
            world.admit(nation).await?;
        }
        for (code, text) in &world.plan.policies {
            world.write_policies(code, text).await?;
        }
        Ok(world)
    }

    /// Starts the server on what a stopped world left in its folder and its database, or on copies of both, and gives every
    /// member their client again.
    pub async fn resume(
        plan: DemoPlan,
        pki: Arc<DevPki>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(Notify::new());
        let order = stop.clone();
        let ordered = async move { order.notified().await };
        let server = serve::run(config(&plan)?, clock.clone(), rng.clone(), ordered).await?;
        let mut world = Self { plan, pki, clock, rng, server, stop, clients: BTreeMap::new() };
        let pki = Arc::clone(&world.pki);
        for member in pki.partners.values().flat_map(|partner| partner.members.keys()) {
            let client = world.client_of(member)?;
            world.clients.insert(member.clone(), client);
        }
        Ok(world)
    }

    /// The member's client.
    ///
    /// # Panics
    /// When the cast has no such member.
    #[must_use]
    pub fn client(&self, member: &str) -> &Client {
        let id: MemberId = member.parse().expect("members of the cast have good names");
        self.clients.get(&id).expect("the member is in the cast")
    }

    /// Everybody who is asked to join a party of the proposal does.
    ///
    /// # Errors
    /// When the exchange refuses one of them.
    pub async fn join_all(&self, proposal: &Proposal) -> Result<(), ClientError> {
        for member in &proposal.invited {
            self.client(&member.to_string()).accept_invitation(proposal.id).await?;
        }
        Ok(())
    }

    /// The address of the exchange.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.api_addr
    }

    /// Stops the server: open requests finish first.
    pub async fn stop(self) {
        // Kept until somebody waits for it, so the order cannot be missed.
        self.stop.notify_one();
        drop(self.clients);
        self.server.ended().await;
    }

    /// The folder with a member's profile, identity and pins.
    #[must_use]
    pub fn home(&self, member: &MemberId) -> PathBuf {
        self.plan.dir.join("homes").join(format!("{}.{}", member.partner(), member.handle()))
    }

    /// A client for a member with the certificate and key in the given files.
    pub fn client_with(
        &self,
        home: PathBuf,
        member: &MemberId,
        certificate: PathBuf,
        key: PathBuf,
    ) -> Result<Client, Error> {
        let home = Home::locate(Some(&home))?;
        let identity = home.root().join("identity.txt");
        let profile = Profile {
            name: "default".into(),
            server: format!("https://localhost:{}", self.address().port()),
            server_ca: vec![self.plan.dir.join("pki/server/ca.crt")],
            certificate,
            private_key: key,
            identities: vec![identity],
            member: Some(member.clone()),
            zone: None,
        };
        home.save_profile(&profile)?;
        home.set_default_profile("default")?;
        let ambient = Ambient { clock: self.clock.clone(), rng: self.rng.clone() };
        Ok(Client::new(home, profile, NoPrompt, ambient)?)
    }

    /// Lets the registrar of a nation issue key cards, its own first.
    async fn admit(&mut self, nation: &'static DemoNation) -> Result<(), Error> {
        let code: PartnerCode = nation.code.parse()?;
        let registrar = MemberId::new(code.clone(), "registrar")?;
        let card = |member: MemberId, cast: &Cast, recipient: String, issued: &CertificateAndKey| NewKeyCard {
            member,
            name: cast.name.to_owned(),
            organisation: cast.organisation.to_owned(),
            roles: cast.roles.iter().copied().collect(),
            without: [].into(),
            recipients: vec![recipient],
            certificates: vec![issued.spki],
            shown: vec![issued.certificate.clone()],
            valid_from: None,
            valid_until: issued.valid_until,
        };
        let office = Cast {
            member: "",
            name: "Registrar",
            organisation: nation.authority.1,
            job: "registrar",
            roles: &[PartnerRole::Registrar],
        };
        let (client, recipient) = self.settle(&registrar)?;
        let issued = &self.pki.partners[&code].members[&registrar];
        client.issue_key_card(&card(registrar.clone(), &office, recipient, issued)).await?;
        let mut settled = vec![(registrar, client.clone())];
        let officers = POLICY_OFFICERS.map(|(handle, name)| {
            let cast = Cast {
                member: "",
                name,
                organisation: "Policy Office",
                job: "policy officer",
                roles: &[PartnerRole::PolicyOfficer],
            };
            MemberId::new(code.clone(), handle).map(|member| (member, cast))
        });
        let mut members: Vec<(MemberId, Cast)> = Vec::new();
        if self.plan.policies.contains_key(&code) {
            members.extend(officers.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
        for cast in nation.cast {
            members.push((cast.member.parse()?, cast.clone()));
        }
        for (member, cast) in members {
            let (own, recipient) = self.settle(&member)?;
            let issued = &self.pki.partners[&code].members[&member];
            client.issue_key_card(&card(member.clone(), &cast, recipient, issued)).await?;
            settled.push((member, own));
        }
        self.clients.extend(settled);
        Ok(())
    }

    /// Puts a nation's policies in force, as its two policy officers do.
    async fn write_policies(&self, code: &PartnerCode, text: &str) -> Result<(), Error> {
        let owner = PolicyOwner::Partner(code.clone());
        let [drafter, approver] = POLICY_OFFICERS.map(|(handle, _)| MemberId::new(code.clone(), handle));
        let proposed = self.clients[&drafter?].propose_policy(&owner, code.as_str(), text, None).await?;
        let approver = &self.clients[&approver?];
        let (_, summary) = approver.preview_policy(&proposed).await?;
        approver.approve_policy(&proposed, &summary).await?;
        Ok(())
    }

    /// Makes a member's home: an identity, a profile, and pins of every nation's card as officials confirmed them.
    fn settle(&self, member: &MemberId) -> Result<(Client, String), Error> {
        let dir = self.home(member);
        let home = Home::locate(Some(&dir))?;
        fs::create_dir_all(home.root())?;
        let identity = new_identity();
        write_identity_file(&dir.join("identity.txt"), identity.file_text(self.clock.now()).expose().as_bytes())?;
        for partner in self.pki.partners.values() {
            home.pin_partner(&partner.card.canonical()?, &partner.card.fingerprint()?)?;
        }
        Ok((self.client_of(member)?, identity.recipient().to_owned()))
    }

    /// The client of a member who has a home, with the certificate and key that the PKI made.
    fn client_of(&self, member: &MemberId) -> Result<Client, Error> {
        let folder = self.plan.dir.join("pki").join(member.partner().as_str());
        let (certificate, key) =
            (folder.join(format!("{}.crt", member.handle())), folder.join(format!("{}.key", member.handle())));
        self.client_with(self.home(member), member, certificate, key)
    }
}

/// Development certificates and cards last for years on either side of the story.
fn far(now: Timestamp) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(24 * 365 * 3)).expect("a story is set within the calendar")
}

fn pki_spec(plan: &DemoPlan, now: Timestamp) -> Result<Spec, Error> {
    let partners = plan.nations.iter().map(|nation| {
        let has_policies = plan.policies.keys().any(|code| code.as_str() == nation.code);
        let officers = POLICY_OFFICERS.iter().filter(|_| has_policies).map(|(handle, _)| *handle);
        let handles: Vec<&str> = officers.chain(nation.cast.iter().map(Cast::handle)).collect();
        PartnerSpec::new(nation.code, nation.name, nation.zone, nation.authority, "registrar", &handles)
    });
    Ok(Spec {
        valid_from: now.checked_sub(SignedDuration::from_hours(24))?,
        valid_until: far(now),
        server_names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
        partners: partners.collect::<Result<_, _>>()?,
    })
}

fn config(plan: &DemoPlan) -> Result<Config, Error> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let pki = plan.dir.join("pki/server");
    let mut settings: Vec<(String, String)> = [
        ("host", plan.host.to_owned()),
        ("api.listen", "127.0.0.1:0".to_owned()),
        ("api.certificate", text(&pki.join("server.crt"))),
        ("api.private_key", text(&pki.join("server.key"))),
        ("admin.listen", "127.0.0.1:0".to_owned()),
        ("database.url", plan.database_url.clone()),
        ("blobs.folder", text(&plan.dir.join("blobs"))),
        // A play is over before it fills a disk, and the viewer's disk may be nearly full.
        ("blobs.reserve_bytes", "0".to_owned()),
        ("trust.crl_folder", text(&plan.dir.join("crls"))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    settings.extend(plan.settings.iter().cloned());
    let mut config = Config::load(None, [], &settings)?;
    config.database.limits = plan.database_limits;
    Ok(config)
}
