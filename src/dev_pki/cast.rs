//! The made-up nations and people of the demonstration, of the development PKI and of the tests: where they work and what for.
//!
//! A story takes whom it needs: `DemoNation { cast: &[DANA, BOB], ..USA }`. Nobody here exists. People work in different places
//! unless it says otherwise, since colleagues of a party's member are in conflict.

use crate::domain::member::PartnerRole;

/// A member to come.
#[derive(Debug, Clone)]
pub struct Cast {
    pub member: &'static str,
    pub name: &'static str,
    pub organisation: &'static str,
    /// What they do there, in a few words.
    pub job: &'static str,
    pub roles: &'static [PartnerRole],
}

/// A nation to come. Its registrar is added by itself, and two policy officers if it is to have policies.
#[derive(Debug, Clone)]
pub struct DemoNation {
    pub code: &'static str,
    pub name: &'static str,
    pub zone: &'static str,
    /// Common name and organisation of its authority.
    pub authority: (&'static str, &'static str),
    pub cast: &'static [Cast],
}

/// Handles and names of the two policy officers of each nation that has policies.
pub const POLICY_OFFICERS: [(&str, &str); 2] =
    [("drafter", "First policy officer"), ("approver", "Second policy officer")];

const fn cast(member: &'static str, name: &'static str, organisation: &'static str, job: &'static str) -> Cast {
    Cast { member, name, organisation, job, roles: &[] }
}

const fn officer(member: &'static str, name: &'static str, organisation: &'static str) -> Cast {
    Cast { member, name, organisation, job: "program officer", roles: &[PartnerRole::ProgramOfficer] }
}

impl Cast {
    /// What follows the colon in the member's name.
    #[must_use]
    pub fn handle(&self) -> &'static str {
        self.member.split_once(':').map_or(self.member, |(_, handle)| handle)
    }
}

const fn nation(
    code: &'static str,
    name: &'static str,
    zone: &'static str,
    ca: &'static str,
    of: &'static str,
) -> DemoNation {
    DemoNation { code, name, zone, authority: (ca, of), cast: &[] }
}

pub const USA: DemoNation =
    nation("USA", "United States", "America/New_York", "US Research Root CA", "Office of Cooperative Programs");
pub const ISR: DemoNation =
    nation("ISR", "Israel", "Asia/Jerusalem", "Israel Innovation Root CA", "Directorate of Joint Research");
pub const KOR: DemoNation =
    nation("KOR", "Republic of Korea", "Asia/Seoul", "National Research Root CA", "Ministry of Science");
/// Its authority has the same name as Korea's, as it happens.
pub const GBR: DemoNation =
    DemoNation { authority: KOR.authority, ..nation("GBR", "United Kingdom", "Europe/London", "", "") };
pub const EU: DemoNation =
    nation("EU", "European Union", "Europe/Brussels", "EU Research Root CA", "European Commission");

pub const DANA: Cast = officer("USA:dana", "Dana Whitfield", "Office of Cooperative Programs");
pub const OLIVIA: Cast = officer("USA:olivia", "Olivia Grant", "Office of Cooperative Programs");
pub const OMAR: Cast = officer("USA:omar", "Omar Haddad", "Office of Cooperative Programs");
/// An officer in calls at most: no registrar vouches for a program officer here.
pub const OPAL: Cast = cast("USA:opal", "Opal Reyes", "Office of Cooperative Programs", "adviser");
pub const BOB: Cast = cast("USA:bob", "Bob Larsen", "Blue Ridge Navigation", "proposer");
pub const KATE: Cast = cast("USA:kate", "Kate Romero", "Plains Robotics", "proposer");
pub const MIA: Cast = cast("USA:mia", "Mia Sandoval", "Tidewater Systems", "engineer without a part in any call");
pub const CAROL: Cast = cast("USA:carol", "Carol Nakamura", "Chesapeake Research Laboratory", "reviewer");
pub const RHEA: Cast = cast("USA:rhea", "Rhea Collins", "Cascade Institute", "reviewer");
pub const FRANK: Cast = cast("USA:frank", "Frank Odell", "Office of the Comptroller", "decider");
pub const FERN: Cast = cast("USA:fern", "Fern Abbott", "Treasury Board", "decider");
pub const WALT: Cast = cast("USA:walt", "Walt Quinn", "Court of Audit", "observer");
pub const OSCAR: Cast = cast("USA:oscar", "Oscar Lindgren", "Inspector General", "observer");

pub const NOA: Cast = officer("ISR:noa", "Noa Barak", "Directorate of Joint Research");
pub const AVI: Cast = cast("ISR:avi", "Avi Levi", "Kinneret Sensing", "proposer");
pub const TAMAR: Cast = cast("ISR:tamar", "Tamar Golan", "Kinneret Sensing", "proposer");
/// Works where Avi works, in another spelling, and signs policies.
pub const PAZ: Cast = Cast {
    roles: &[PartnerRole::PolicyOfficer],
    ..cast("ISR:paz", "Paz Mizrahi", "KINNERET sensing", "policy officer")
};
/// Is asked to join parties, and signs policies.
pub const ORI: Cast = Cast {
    roles: &[PartnerRole::PolicyOfficer],
    ..cast("ISR:ori", "Ori Aviram", "Yarkon Analytics", "policy officer")
};
pub const GAL: Cast = cast("ISR:gal", "Gal Shaked", "Negev Robotics", "proposer");
pub const SHIR: Cast = cast("ISR:shir", "Shir Dagan", "Arava Optics", "proposer");
pub const YAEL: Cast = cast("ISR:yael", "Yael Stern", "Carmel Institute of Technology", "reviewer");
pub const MAYA: Cast = cast("ISR:maya", "Maya Peretz", "Galilee University", "reviewer");
pub const TAL: Cast = cast("ISR:tal", "Tal Friedman", "Sharon College", "reviewer");
pub const EITAN: Cast = cast("ISR:eitan", "Eitan Cohen", "Ministry Board", "decider");
pub const LIOR: Cast = cast("ISR:lior", "Lior Katz", "Gilboa Laboratory", "chemist without a part in any call");

/// A process, not a person: it tells Israel's members that something waits for them.
pub const ISR_RELAY: Cast = Cast {
    roles: &[PartnerRole::Relay],
    ..cast("ISR:relay", "Relay of Israel", "Directorate of Joint Research", "relay")
};

pub const JIWOO: Cast = cast("KOR:jiwoo", "Jiwoo Han", "Hanbit Materials", "proposer");
pub const MINJUN: Cast = cast("KOR:minjun", "Minjun Park", "Daejeon Institute of Energy", "reviewer");
pub const SEOYEON: Cast = cast("KOR:seoyeon", "Seoyeon Kim", "Agency for Joint Programs", "decider");

pub const GRACE: Cast = cast("GBR:grace", "Grace Bell", "Severn Recycling", "proposer");
pub const HARRY: Cast = cast("GBR:harry", "Harry Dunn", "Mersey Science Laboratory", "reviewer");
pub const ISLA: Cast = cast("GBR:isla", "Isla Reid", "Research Funding Office", "decider");

pub const EMMA: Cast = cast("EU:emma", "Emma Claes", "University of the Meuse", "proposer");
pub const LUCA: Cast = cast("EU:luca", "Luca Ferri", "Joint Centre for Energy", "reviewer");
pub const SOFIA: Cast = cast("EU:sofia", "Sofia Lind", "Court of Auditors", "observer");
