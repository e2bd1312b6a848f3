//! How identifiers, words and instants travel: as JSON strings, read back through the same `FromStr` as everywhere else. A label is
//! an object of two sets.
//!
//! The implementations stand here, not in `domain`, which knows nothing of JSON.

use crate::domain::{
    call::{AmendmentEffect, Audience, Phase},
    decision::Outcome,
    entry::EntryKind,
    id::{
        CallId, DecisionId, DocumentId, IdBeginning, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Sha256,
        Slug, VaultId, WrappedKeyId,
    },
    inbox::ItemKind,
    label::Label,
    member::{CallRole, ConflictGround, Declared, PartnerRole},
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

/// An instant, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

macro_rules! travels_as_text {
    ($($name:ident: $example:literal,)*) => {$(
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

        travels_as_text!(schema $name: $example);
    )*};
    (schema $name:ident: $example:literal) => {
        #[cfg(feature = "server")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .examples([$example])
                    .into()
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

travels_as_text! {
    PartnerCode: "ISR",
    MemberId: "ISR:avi.levi",
    Slug: "work-plan",
    Sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ProgramId: "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    CallCode: "BIRD26",
    IdBeginning: "01J9ZQ4N",
    Reference: "BIRD26-48179",
    CallId: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    ProposalId: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    DocumentId: "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    VaultId: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    WrappedKeyId: "key_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    ReviewId: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    DecisionId: "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF",
    PartnerRole: "registrar",
    CallRole: "reviewer",
    ConflictGround: "employment",
    Declared: "clear",
    Phase: "open",
    Audience: "panel",
    AmendmentEffect: "keeps",
    Status: "submitted",
    Relation: "assigned",
    Sort: "-created",
    Outcome: "fund",
    SetAside: "conflict",
    SuspensionReason: "keys_in_doubt",
    VaultKind: "panel",
    CardStatus: "active",
    WrapTarget: "ISR:avi.levi",
    EntryKind: "proposal.submitted",
    PolicyOwner: "ISR",
    PolicyStatus: "in_force",
    ItemKind: "review",
}

travels_as_text!(schema Time: "2026-04-01T15:00:00Z");

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
