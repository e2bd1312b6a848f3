//! The one catalogue of problems: every way in which the exchange says no, for server, client, docs and command line.
//!
//! A problem body is RFC 9457 with a stable `type` of `urn:entente:problem:<slug>`. `detail` says why this request was
//! refused, `remedy` what to do next. Neither ever holds content, names or titles.

use crate::domain::Refusal;
use serde::{Deserialize, Serialize};

macro_rules! catalogue {
    ($($variant:ident $slug:literal $status:literal $title:literal => $remedy:literal;)*) => {
        /// A kind of problem. Its slug and status never change once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $title] $variant,)* }

        impl Kind {
            /// Every kind, as documented in `docs/problems.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it is, in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What to do next.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

catalogue! {
    // who is asking
    CertificateRefused "certificate-refused" 401 "the certificate is no longer accepted" => "ask your partner's registrar whether the certificate expired or was revoked, and connect again with a valid one";
    CertificateClaimsOtherPartner "certificate-claims-other-partner" 401 "the certificate names a member of another partner" => "ask your partner's registrar for a certificate whose URI names your own partner";
    NotAMember "not-a-member" 403 "no key card is published for this certificate" => "ask your partner's registrar to publish a key card that names this certificate, then try again";
    PartnerSuspended "partner-suspended" 403 "your partner takes no part for a while" => "ask your partner's registrar, who agrees with the host's operator when it takes part again; `entente me` says when it does";
    // what may be asked
    NotFound "not-found" 404 "there is no such thing, or you may not know of it" => "check the identifier; what you may see is in the lists";
    MethodNotAllowed "method-not-allowed" 405 "this address does not take that method" => "see `/openapi.json` for what each address takes";
    Denied "denied" 403 "policy does not permit this" => "the detail names the rule and who set it; ask them, or the call's officers";
    // the request itself
    Malformed "malformed" 400 "the request cannot be read" => "send what `/openapi.json` describes for this operation";
    NulCharacter "nul-character" 422 "a text in the request has the character U+0000" => "send the text without it; no text may have it, in the body or in the address";
    BadCursor "bad-cursor" 400 "the cursor is invalid" => "start over without a cursor; a cursor is for the member who got it and the address with the filters that it came from";
    IdempotencyKeyRequired "idempotency-key-required" 400 "this operation needs an `Idempotency-Key` header" => "send a new random key of 1 to 128 visible characters, and the same one again when you retry";
    IdempotencyKeyReused "idempotency-key-reused" 422 "the idempotency key was used for another request" => "use a new key for a new request";
    SubjectRequired "subject-required" 400 "a large request does not say in its address what it is about" => "name it in the address, as `/openapi.json` describes: `?call=` for a new proposal, `?program=` for a new call; or send at most 64 KiB, with `Content-Length`";
    SubjectDiffers "subject-differs" 422 "the address and the body of the request are about different things" => "name the same call or program in both, or leave it out of the address of a small request";
    TooLarge "too-large" 413 "the body is larger than this operation takes" => "keep within the limit named in the detail";
    LengthRequired "length-required" 411 "a document needs its length announced" => "send `Content-Length`";
    Timeout "timeout" 408 "the request took too long to arrive" => "send it again over a better connection";
    WrongMediaType "wrong-media-type" 415 "the body is of another media type" => "send the media type named in the detail";
    PreconditionRequired "precondition-required" 428 "this change needs an `If-Match` header" => "read the resource first and send the `ETag` you got";
    PreconditionFailed "precondition-failed" 412 "the resource has changed since you read it" => "read it again, look at what changed, and repeat with the new `ETag`";
    TusVersion "tus-version" 412 "the request follows no version of tus that is served" => "send `Tus-Resumable: 1.0.0`";
    OtherOffset "other-offset" 409 "the upload goes on at another byte" => "ask for `Upload-Offset` with `HEAD`, and go on there";
    UploadBusy "upload-busy" 423 "another request adds to this upload" => "try again in a moment; the other request ends with its connection";
    RangeNotSatisfiable "range-not-satisfiable" 416 "the range begins past the end" => "ask for a range within the size named in `Content-Range`";
    HeadersTooLarge "headers-too-large" 431 "the request headers are too large" => "send fewer or shorter headers";
    // sealing
    DigestMismatch "digest-mismatch" 422 "the bytes have another digest than announced" => "upload the file again; if it happens twice, seal it again";
    DigestRequired "digest-required" 400 "a document needs its digest announced" => "send `Repr-Digest: sha-256=:<base64>:` of the ciphertext";
    NotSealed "not-sealed" 422 "this is not a complete age file" => "seal the document to the proposal's vault (`entente proposal put` or `age -r`) and upload the result unarmored";
    StatementInvalid "statement-invalid" 422 "the signed statement is not acceptable" => "sign the statement again with a key that your key card names";
    StaleKeyCard "stale-key-card" 409 "a newer key card is already published" => "issue the card with a higher serial";
    CertificateUnfit "certificate-unfit" 422 "a key card names a key without a certificate that can be used" => "send the certificate of each new key beside the key card, as `entente key-card issue --certificate` does: one that the member could connect with now, with the authorities above it, and that lasts as long as the card";
    OfficeDropped "office-dropped" 409 "the key card ends an office without saying so" => "keep the role in the key card (`entente key-card issue --role`), or say that it ends (`--without`, in the request `without`)";
    WrapRefused "wrap-refused" 422 "the wrapped key is not acceptable" => "wrap the vault for one of the holders that its kind allows, with the recipient of their key card";
    AlreadyWrapped "already-wrapped" 409 "you have wrapped this key before" => "nothing to do if it opens; if its holder says that it does not, they remove it (`entente key check PROPOSAL --remove`) and you wrap again, or another member wraps one beside it";
    WrappedOften "wrapped-often" 409 "your partner's members have wrapped this key as often as is allowed" => "let its holder remove those that do not open (`entente key check PROPOSAL --remove`), or a member of another partner wrap one";
    LastKey "last-key" 409 "the call's vault needs a key that opens it" => "give another officer a key first: grant the role and share the key (`entente key share --call CALL`)";
    StillAdmitted "still-admitted" 409 "the holder may still read" => "a key is removed only from members whom policy refuses: change the policy, the role or the assignment first; to take a colleague out of a party, use `entente proposal member remove`";
    NoKeyCard "no-key-card" 422 "a member has no key card in force" => "ask the member's registrar to publish one";
    // policies
    PolicyInvalid "policy-invalid" 422 "the policies are invalid" => "correct what the detail names; `entente policy check` runs the same checks on your machine";
    PolicyWaiting "policy-waiting" 409 "a version waits for approval" => "approve or withdraw that one first: `entente policy list`";
    PolicyOutdated "policy-outdated" 409 "another version came first" => "look at what is in force now and propose again";
    PolicySettled "policy-settled" 409 "this version can no longer be changed" => "propose a new version; `entente policy restore` brings an earlier text back";
    SecondOfficer "second-officer" 409 "a second policy officer is needed" => "ask another policy officer of your partner to approve it";
    SignedGuardrails "signed-guardrails" 409 "the guardrails rest on the member's signature" => "revoke the key card with `--keep-signatures`, which ends its use at once; let two other policy officers put other guardrails in force, and then revoke it with `--distrust-signatures`";
    NoticeTooShort "notice-too-short" 409 "guardrails are announced before they take effect" => "withdraw the version and propose it again with a later time";
    // calls
    WrongPhase "wrong-phase" 409 "the call is in another phase" => "the detail says in which phase this is possible; `entente call show` shows the dates of the phases to come";
    CallTextInvalid "call-text-invalid" 422 "the call's text is invalid" => "correct what the detail names and send the text again";
    ExtensionBackwards "extension-backwards" 422 "an extension only gives more time" => "name an instant after the present one; to give less time, take an extension back, which leaves everybody 72 hours (`entente call withdraw-extension`)";
    ExtensionTooFar "extension-too-far" 422 "the deadline would move too far" => "name an instant up to the one in the detail; for a deadline further away amend the call to a later `extendable_until` first, before its deadline";
    ExtensionReliedOn "extension-relied-on" 409 "the extension gives no more than 72 hours from now" => "nothing to do: taking an extension back leaves everybody 72 hours, and this one gives no more than that, so it stays";
    ExtensionWithdrawn "extension-withdrawn" 409 "the extension was withdrawn before" => "nothing to do; `entente call show` shows those in force";
    ScheduleFixed "schedule-fixed" 422 "an amendment takes no time away" => "keep the instant that the detail names; deadlines and grace periods only become longer";
    FundersFixed "funders-fixed" 422 "the funders of a published call are fixed" => "keep the funders; for others, cancel this call and publish a new one";
    EligibleFixed "eligible-fixed" 422 "who may take part in a published call can only grow" => "leave every partner in that may take part now; for others publish a new call";
    NoTimeToSign "no-time-to-sign" 422 "the amendment voids what was handed in and leaves no time to sign it again" => "move the deadline in the same amendment, to three days from now or later";
    VoidsDiffer "voids-differ" 409 "the amendment voids proposals that were handed in" => "look at what it voids with a dry run, and send that number as `voids` if you mean it";
    NotEligible "not-eligible" 422 "a partner is not eligible under this call" => "choose parties among the partners that the call names";
    StillSealed "still-sealed" 403 "the call is still sealed" => "wait until every deadline and grace period has passed";
    // proposals
    DeadlinePassed "deadline-passed" 409 "the deadline has passed" => "while the call is `open` or in `grace` its officers can give you more time, with a reason: ask them; once it is in `review` nobody can";
    GracePassed "grace-passed" 409 "the grace period has passed" => "while the call is `open` or in `grace` (another proposal may have a later deadline), its officers can give your nation or everybody more time, with a reason (`entente call extend --partner`): ask them; once it is in `review` these bytes can no longer follow";
    NotCommitted "not-committed" 409 "this file is not part of the signed version" => "upload the exact file of the signed version; check it with `entente proposal status`";
    PartyRule "party-rule" 422 "the parties do not meet the call's rule" => "name the parties that the call asks for";
    NotOfParty "not-of-party" 422 "the member does not belong to that party" => "name a member of the same partner";
    StillCounted "still-counted" 409 "the member's organisation still counts" => "after the deadline a member leaves only while another party member is of the same organisation; ask a colleague of theirs to join first, or withdraw the proposal";
    LastOfParty "last-of-party" 409 "a party needs at least one member" => "ask a colleague to join, who accepts, first; or withdraw the proposal; before your party has signed, you can leave once its restricted documents are taken out";
    NotInvited "not-invited" 409 "no invitation waits for an answer" => "see `entente proposal show` for who is in the parties";
    NeedsConsent "needs-consent" 409 "an officer of another nation has to consent" => "ask an officer of another nation in the call, who consents with `entente proposal member consent`; where every officer is of the joining member's nation, ask them to name one of another nation first (`entente call role set`)";
    UnknownTopic "unknown-topic" 422 "the call has no such topic" => "choose one of the topics in the call's text";
    UnknownSlot "unknown-slot" 422 "the call has no such slot" => "choose one of the slots in the call's text";
    SlotMediaType "slot-media-type" 422 "the slot takes another kind of file" => "convert the file to what the slot takes";
    ManifestMismatch "manifest-mismatch" 422 "the manifest does not fit the proposal" => "let `entente proposal sign` make it again from what is uploaded";
    LabelRefused "label-refused" 422 "the releasability label cannot be put on this proposal" => "name partners of this exchange, and leave out neither an owner nor a funder nor a nation whose officers open the call";
    LabelTaken "label-taken" 409 "another label came first" => "look at the label and its history with `entente proposal label` and sign the next one";
    SlotEmpty "slot-empty" 422 "a required slot is empty" => "put a document into it, then sign again";
    AlreadySigned "already-signed" 409 "your partner has signed this" => "nothing to do; see `entente proposal show` or `entente decision show`";
    VersionTaken "version-taken" 409 "another version came first" => "read the proposal again and sign the next version";
    AlreadyWished "already-wished" 409 "your party has asked to withdraw the proposal before" => "ask the other parties to withdraw it, too, or take your party's wish back with `entente proposal reinstate`";
    WrongStatus "wrong-status" 409 "the proposal is in another status" => "see `entente proposal show` for what is possible now";
    // review and decision
    RolesCombined "roles-combined" 422 "a member can be only one of officer, reviewer and decider in a call" => "give the role to another member, or take the other one away with the same change; both are possible where the call's text says so (`combined_roles`)";
    Unsuitable "unsuitable" 422 "the member cannot take this part" => "do what the detail says; if it names nothing to do, choose another member";
    NotDeclared "not-declared" 403 "a declaration of interests is missing" => "declare your interests first: `entente conflict declare PROPOSAL --none`, or with `--ground` if there is a conflict (`PUT /v1/proposals/{proposal}/declaration`)";
    AlreadyDeclared "already-declared" 409 "a declaration is already on record" => "nothing to do: you are on record as clear of any conflict; if you have one by now, declare it yourself with `entente conflict declare PROPOSAL --ground`";
    NoConflict "no-conflict" 409 "no conflict is on record" => "nothing to lift";
    AlreadyAssigned "already-assigned" 409 "the reviewer is already assigned" => "nothing to do";
    NotAssigned "not-assigned" 409 "the reviewer is not assigned" => "see `entente assignment list`";
    AssignmentReplaced "assignment-replaced" 409 "somebody else was assigned meanwhile" => "ask an officer of the call, who can assign you again (`entente assignment add`)";
    AlreadyReviewed "already-reviewed" 409 "the review is already in" => "nothing to do if it is to stay as it is; for another revision, an officer reopens it (`entente review reopen`)";
    NoReview "no-review" 409 "there is no submitted review" => "see `entente review list`";
    OtherVersion "other-version" 409 "the proposal has another standing version" => "read the standing version and review that";
    DecisionDiffers "decision-differs" 409 "another decision was proposed before" => "look at it with `entente decision show`: sign that one, or let those who signed it take their signatures back with `entente decision unsign`";
    ReopenedLately "reopened-lately" 409 "the call was reopened a short time ago" => "close it later: those for whom it was reopened have 72 hours";
    CallUnfinished "call-unfinished" 409 "not everything under the call is decided and answered" => "`entente call progress` counts what is decided; get the missing signatures with `entente decision sign`, send the letters with `entente letter send`, then close the call";
    DecisionFinal "decision-final" 409 "the decision is final" => "every funder together can put another decision in its place or rescind it: `entente decision sign PROPOSAL OUTCOME --reason`";
    NoDecision "no-decision" 409 "there is no decision" => "propose one with `entente decision sign`";
    DecisionOpen "decision-open" 409 "the decision is not final yet" => "get the missing signatures first";
    NotFunder "not-funder" 422 "your partner does not fund under this call" => "only deciders of the funding partners sign";
    LinesRefused "lines-refused" 422 "some lines are refused, so no line was carried out" => "correct or leave out the lines named in `faults` and send the rest again";
    Exists "exists" 409 "it exists already" => "use the one that exists";
    // the exchange itself
    TooManyRequests "too-many-requests" 429 "too many of your requests are open, or too many bytes of their bodies are under way" => "wait for those that are under way, and try again after the time in `Retry-After`";
    QuotaReached "quota-reached" 409 "a quota is used up" => "if the detail counts documents that are still arriving, try again later; otherwise ask the host's operator to raise the number under `[quotas]`";
    DailyQuotaReached "daily-quota-reached" 429 "a quota of 24 hours is used up" => "try again at the time in the detail, which is that in `Retry-After`; if it is too late, ask the host's operator to raise the number under `[quotas]`";
    TooManyReads "too-many-reads" 429 "too many reads that leave an entry in the log" => "try again after the time in `Retry-After`";
    TooManyActs "too-many-acts" 429 "too many acts by you or your partner's members" => "try again after the time in `Retry-After`";
    TooManyAnswers "too-many-answers" 429 "too many answers wait for you to read them" => "read the answers that are under way to their end, or end them, and try again after the time in `Retry-After`";
    Overloaded "overloaded" 503 "the exchange is busy" => "try again after the time in `Retry-After`";
    Unavailable "unavailable" 503 "a part of the exchange is not available" => "nothing was done; try again after the time in `Retry-After`";
    ClockNotTrusted "clock-not-trusted" 503 "the exchange cannot rely on its clock" => "nothing was done; try again after the time in `Retry-After`; the host's operator must set the clock right";
    OutcomeUnknown "outcome-unknown" 503 "it is not known whether this was done" => "send the same request with the same `Idempotency-Key` after the time in `Retry-After`: it is done at most once, and the answer says that it was";
    StorageFull "storage-full" 507 "the exchange is out of space" => "nothing was done; tell the host's operator";
    DocumentDamaged "document-damaged" 500 "the exchange's copy of this document is damaged" => "tell the host's operator, who can put the file back from a backup; no other document is affected";
    Internal "internal" 500 "something went wrong inside the exchange" => "nothing was done; tell the host's operator the request id";
}

impl Kind {
    /// Whether callers get it for what does not exist as well, so that it says nothing of what they asked about. `too-large` does: how large a
    /// document may be is said to those who may upload one.
    #[must_use]
    pub fn tells_nothing(self) -> bool {
        matches!(
            self,
            Self::CertificateRefused
                | Self::CertificateClaimsOtherPartner
                | Self::NotAMember
                | Self::PartnerSuspended
                | Self::NotFound
                | Self::MethodNotAllowed
                | Self::Malformed
                | Self::NulCharacter
                | Self::BadCursor
                | Self::SubjectRequired
                | Self::SubjectDiffers
                | Self::IdempotencyKeyRequired
                | Self::Timeout
                | Self::WrongMediaType
                | Self::HeadersTooLarge
                | Self::TooManyRequests
                | Self::TooManyReads
                | Self::TooManyActs
                | Self::TooManyAnswers
                | Self::Overloaded
                | Self::Unavailable
                | Self::ClockNotTrusted
                | Self::Internal
        )
    }
}

/// An RFC 9457 problem body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:entente:problem:<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// What to do next.
    pub remedy: String,
    /// With `lines-refused`: why which line was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<LineFault>,
}

/// Why one line of a bulk request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LineFault {
    /// From 1.
    pub line: u32,
    /// Slug of the problem.
    pub problem: String,
    pub detail: String,
}

impl Problem {
    /// A problem of this kind, with why this request was refused.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:entente:problem:{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            remedy: kind.remedy().to_owned(),
            faults: Vec::new(),
        }
    }

    /// The one answer for what does not exist and for what the caller may not know of.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "nothing is here for you")
    }

    /// The stable name of its kind, as far as the type is one of ours.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.strip_prefix("urn:entente:problem:").unwrap_or(&self.kind)
    }
}

impl From<&Refusal> for Kind {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::WrongPhase { .. } => Self::WrongPhase,
            Refusal::DeadlinePassed { .. } => Self::DeadlinePassed,
            Refusal::QuotaReached { .. } => Self::QuotaReached,
            Refusal::DailyQuotaReached { .. } => Self::DailyQuotaReached,
            Refusal::GracePassed { .. } => Self::GracePassed,
            Refusal::NotCommitted { .. } => Self::NotCommitted,
            Refusal::StillSealed { .. } => Self::StillSealed,
            Refusal::CallText { .. } => Self::CallTextInvalid,
            Refusal::ExtensionBackwards { .. } => Self::ExtensionBackwards,
            Refusal::ExtensionTooFar { .. } => Self::ExtensionTooFar,
            Refusal::ExtensionReliedOn { .. } => Self::ExtensionReliedOn,
            Refusal::ExtensionWithdrawn { .. } => Self::ExtensionWithdrawn,
            Refusal::ScheduleFixed { .. } => Self::ScheduleFixed,
            Refusal::FundersFixed { .. } => Self::FundersFixed,
            Refusal::EligibleFixed { .. } => Self::EligibleFixed,
            Refusal::NoTimeToSign { .. } => Self::NoTimeToSign,
            Refusal::VoidsDiffer { .. } => Self::VoidsDiffer,
            Refusal::NotEligible { .. } => Self::NotEligible,
            Refusal::PartyRule { .. } => Self::PartyRule,
            Refusal::UnknownTopic { .. } => Self::UnknownTopic,
            Refusal::UnknownSlot { .. } => Self::UnknownSlot,
            Refusal::MediaType { .. } => Self::SlotMediaType,
            Refusal::TooLarge { .. } => Self::TooLarge,
            Refusal::ManifestMismatch { .. } => Self::ManifestMismatch,
            Refusal::Label { .. } => Self::LabelRefused,
            Refusal::LabelTaken { .. } => Self::LabelTaken,
            Refusal::SlotEmpty { .. } => Self::SlotEmpty,
            Refusal::AlreadySigned { .. } => Self::AlreadySigned,
            Refusal::VersionTaken { .. } => Self::VersionTaken,
            Refusal::WrongStatus { .. } => Self::WrongStatus,
            Refusal::NotOfParty { .. } => Self::NotOfParty,
            Refusal::StillCounted { .. } => Self::StillCounted,
            Refusal::LastOfParty { .. } => Self::LastOfParty,
            Refusal::NotInvited { .. } => Self::NotInvited,
            Refusal::NeedsConsent { .. } => Self::NeedsConsent,
            Refusal::RolesCombined { .. } => Self::RolesCombined,
            Refusal::Unsuitable { .. } => Self::Unsuitable,
            Refusal::NoKeyCard { .. } => Self::NoKeyCard,
            Refusal::NotDeclared { .. } => Self::NotDeclared,
            Refusal::AlreadyDeclared { .. } => Self::AlreadyDeclared,
            Refusal::NoConflict { .. } => Self::NoConflict,
            Refusal::AlreadyAssigned { .. } => Self::AlreadyAssigned,
            Refusal::AssignmentReplaced { .. } => Self::AssignmentReplaced,
            Refusal::NotAssigned { .. } => Self::NotAssigned,
            Refusal::AlreadyReviewed { .. } => Self::AlreadyReviewed,
            Refusal::NoReview { .. } => Self::NoReview,
            Refusal::OtherVersion { .. } => Self::OtherVersion,
            Refusal::DecisionDiffers { .. } => Self::DecisionDiffers,
            Refusal::AlreadyWished { .. } => Self::AlreadyWished,
            Refusal::CallUnfinished => Self::CallUnfinished,
            Refusal::ReopenedLately { .. } => Self::ReopenedLately,
            Refusal::DecisionFinal => Self::DecisionFinal,
            Refusal::NoDecision => Self::NoDecision,
            Refusal::DecisionOpen { .. } => Self::DecisionOpen,
            Refusal::NotFunder { .. } => Self::NotFunder,
            Refusal::Exists { .. } => Self::Exists,
            Refusal::Statement { .. } => Self::StatementInvalid,
            Refusal::StaleKeyCard { .. } => Self::StaleKeyCard,
            Refusal::MemberCertificate { .. } => Self::CertificateUnfit,
            Refusal::OfficeDropped { .. } => Self::OfficeDropped,
            Refusal::AlreadyWrapped { .. } => Self::AlreadyWrapped,
            Refusal::WrappedOften { .. } => Self::WrappedOften,
            Refusal::LastKey { .. } => Self::LastKey,
            Refusal::StillAdmitted { .. } => Self::StillAdmitted,
            Refusal::WrapRefused { .. } => Self::WrapRefused,
            Refusal::PolicyWaiting { .. } => Self::PolicyWaiting,
            Refusal::PolicyOutdated { .. } => Self::PolicyOutdated,
            Refusal::PolicySettled { .. } => Self::PolicySettled,
            Refusal::SecondOfficer { .. } => Self::SecondOfficer,
            Refusal::SignedGuardrails { .. } => Self::SignedGuardrails,
            Refusal::NoticeTooShort { .. } => Self::NoticeTooShort,
            Refusal::PolicyInvalid { .. } => Self::PolicyInvalid,
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.into(), refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_its_own_slug_and_says_what_to_do() {
        let slugs: BTreeSet<_> = Kind::ALL.iter().map(|k| k.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(!kind.remedy().is_empty() && (400..600).contains(&kind.status()), "{kind:?}");
            assert!(kind.title().starts_with(|c: char| c.is_lowercase()), "{kind:?}");
        }
    }
}
