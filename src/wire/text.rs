//! How identifiers, words and instants travel: as JSON strings, read back through the same `FromStr` as everywhere else. A label is
//! an object of two sets.
//!
//! The implementations stand here, not in `domain`, which knows nothing of JSON.

use crate::domain::{
    call::{AmendmentEffect, Audience, LetterAudience, Phase},
    decision::Outcome,
    entry::EntryKind,
    id::{
        CallId, DecisionId, DocumentId, IdBeginning, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Sha256,
        Slug, UploadId, VaultId, WrappedKeyId,
    },
    inbox::ItemKind,
    instant::instant,
    label::Label,
    member::{CallRole, ConflictGround, Declared, DeclineReason, PartnerRole},
    policy::{PolicyOwner, PolicyStatus},
    proposal::{Relation, Sort, Status},
    reference::{CallCode, Reference},
    set_aside::SetAside,
    suspension::SuspensionReason,
    vault::{CardStatus, VaultKind, WrapTarget},
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::collections::BTreeSet;

/// An instant: read in every form of RFC 3339, written in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        instant(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

macro_rules! travels_as_text {
    ($($name:ident: $example:literal, $form:expr;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        travels_as_text!(schema $name: $example, $form);
    )*};
    (schema $name:ident: $example:literal, $form:expr) => {
        #[cfg(feature = "server")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let form: text_form::TextForm = $form;
                form.of_text($example)
            }
        }

        #[cfg(feature = "server")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}

/// What the description of the API says of the form of such a text.
#[cfg(feature = "server")]
mod text_form {
    use utoipa::openapi::{
        ObjectBuilder, RefOr,
        schema::{KnownFormat, Schema, SchemaFormat, Type},
    };

    pub(super) enum TextForm {
        /// What it is, and a regular expression that every such text matches.
        Pattern(&'static str, &'static str),
        /// What it is, and every word that there is.
        Words(&'static str, Vec<&'static str>),
        /// The same of words to which any release may add: what it is, a pattern, and the words of this release as examples.
        Growing(&'static str, &'static str, Vec<&'static str>),
        /// An instant.
        Instant,
    }

    impl TextForm {
        pub(super) fn of_text(self, example: &str) -> RefOr<Schema> {
            let text = ObjectBuilder::new().schema_type(Type::String).examples([example]);
            match self {
                Self::Pattern(what, pattern) => text.description(Some(what)).pattern(Some(pattern)),
                Self::Words(what, words) => text.description(Some(what)).enum_values(Some(words)),
                Self::Growing(what, pattern, words) => {
                    text.description(Some(what)).pattern(Some(pattern)).examples(words)
                }
                Self::Instant => text
                    .description(Some("An instant, RFC 3339 in UTC."))
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
            }
            .into()
        }
    }
}

/// A pattern with what it is the pattern of.
#[cfg(feature = "server")]
macro_rules! pattern {
    ($what:literal, $pattern:expr) => {
        text_form::TextForm::Pattern($what, $pattern)
    };
}

/// The pattern of an identifier with this prefix.
#[cfg(feature = "server")]
macro_rules! ulid {
    ($what:literal, $prefix:literal) => {
        text_form::TextForm::Pattern($what, concat!("^", $prefix, "_[0-7][0-9A-HJKMNP-TV-Z]{25}$"))
    };
}

/// Every word of a type.
#[cfg(feature = "server")]
macro_rules! words {
    ($what:literal, $name:ident) => {
        text_form::TextForm::Words($what, $name::ALL.iter().map(|word| word.as_str()).collect())
    };
}

travels_as_text! {
    PartnerCode: "ISR", pattern!("The code of a partner.", "^[A-Z][A-Z0-9]{1,7}$");
    MemberId: "ISR:avi.levi", pattern!(
        "A member of a partner: its code and a handle.",
        "^[A-Z][A-Z0-9]{1,7}:[a-z0-9][a-z0-9._-]{0,63}$"
    );
    Slug: "work-plan", pattern!("A short name inside a call.", "^[a-z][a-z0-9-]{0,39}$");
    Sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", pattern!(
        "A SHA-256 in lower-case hexadecimal digits.",
        "^[0-9a-f]{64}$"
    );
    ProgramId: "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A program.", "prog");
    CallCode: "BIRD26", pattern!("The code of a call.", "^[A-Z][A-Z0-9]{2,11}$");
    IdBeginning: "01J9ZQ4N", pattern!("The beginning of an identifier, without its prefix.", "^[0-9A-HJKMNP-TV-Z]{4,26}$");
    Reference: "BIRD26-48179", pattern!(
        "The reference of a proposal: the code of its call, and a number whose last digit is a check digit.",
        "^[A-Z][A-Z0-9]{2,11}-[0-9]{5,12}$"
    );
    CallId: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A call.", "call");
    ProposalId: "prop_01J9ZQ4N6M8V7X5T3RGY5RS8GG", ulid!("A proposal.", "prop");
    DocumentId: "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A document or a letter.", "doc");
    UploadId: "upl_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("An upload that can be resumed.", "upl");
    VaultId: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A vault.", "vault");
    WrappedKeyId: "key_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A wrapped key.", "key");
    ReviewId: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A review.", "rev");
    DecisionId: "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF", ulid!("A decision.", "dec");
    PartnerRole: "registrar", words!("A role in the partner itself.", PartnerRole);
    CallRole: "reviewer", words!("A role in a call.", CallRole);
    ConflictGround: "employment", words!("Why there is a conflict of interest.", ConflictGround);
    DeclineReason: "time", words!("Why a reviewer declines.", DeclineReason);
    Declared: "clear", words!("What is declared.", Declared);
    Phase: "open", words!("The phase of a call.", Phase);
    Audience: "panel", words!("Who may read what is in a slot.", Audience);
    LetterAudience: "all-parties", words!("Whom letters about decisions are for.", LetterAudience);
    AmendmentEffect: "keeps", words!("What an amendment does to proposals that were handed in.", AmendmentEffect);
    Status: "submitted", words!("The status of a proposal.", Status);
    Relation: "assigned", words!("What the caller has to do with a proposal.", Relation);
    Sort: "-created", words!("The order of a list.", Sort);
    Outcome: "fund", words!("What is decided.", Outcome);
    SetAside: "conflict", words!("Why something no longer counts.", SetAside);
    SuspensionReason: "keys_in_doubt", words!("Why a partner is suspended.", SuspensionReason);
    VaultKind: "panel", words!("Whom the content of a vault is for.", VaultKind);
    CardStatus: "active", words!("Whether a key card is in force.", CardStatus);
    WrapTarget: "ISR:avi.levi", pattern!(
        "Who holds a wrapped key: a member or a vault.",
        "^([A-Z][A-Z0-9]{1,7}:[a-z0-9][a-z0-9._-]{0,63}|vault_[0-7][0-9A-HJKMNP-TV-Z]{25})$"
    );
    EntryKind: "proposal.submitted", text_form::TextForm::Growing(
        "The kind of an entry in the log. Any release may add kinds.",
        "^[a-z_]+[.][a-z_]+$",
        EntryKind::ALL.iter().map(|word| word.as_str()).collect()
    );
    PolicyOwner: "ISR", pattern!("Whose policies: the code of a partner, or `guardrails`.", "^([A-Z][A-Z0-9]{1,7}|guardrails)$");
    PolicyStatus: "in_force", words!("The status of a version of policies.", PolicyStatus);
    ItemKind: "review", words!("What an item of an inbox asks for.", ItemKind);
}

travels_as_text!(schema Time: "2026-04-01T15:00:00Z", text_form::TextForm::Instant);

/// A label as it is signed and as it travels.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct LabelForm {
    /// The nations that it is releasable to, the owners among them.
    releasable_to: BTreeSet<PartnerCode>,
    /// What policies may ask for beside that.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    caveats: BTreeSet<Slug>,
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { releasable_to, caveats } = self.clone();
        LabelForm { releasable_to, caveats }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let LabelForm { releasable_to, caveats } = LabelForm::deserialize(deserializer)?;
        Ok(Self { releasable_to, caveats })
    }
}

#[cfg(feature = "server")]
impl utoipa::PartialSchema for Label {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        LabelForm::schema()
    }
}

#[cfg(feature = "server")]
impl utoipa::ToSchema for Label {
    fn name() -> std::borrow::Cow<'static, str> {
        "Label".into()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        LabelForm::schemas(schemas);
    }
}
