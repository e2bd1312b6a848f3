//! What waits for the member: the exchange's items, joined with what it cannot know, each in words and with the command that does it.
//!
//! An item is the exchange's word, and a hint: the command verifies whatever it acts on. Nothing here needs a passphrase: a title is shown where none is asked
//! for.

use super::{Client, Result, joining::welcome_name};
use crate::{
    domain::{
        expiry::{FIRST_DAYS, horizon},
        id::{MemberId, ProposalId},
        inbox::ItemKind,
        text::counted,
    },
    wire::{
        Time,
        inbox::{Inbox, InboxItem, NextDeadline},
    },
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// Everything that waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Todo {
    /// What is due first comes first.
    pub items: Vec<TodoItem>,
    /// Whether more waits than is shown.
    pub more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_deadline: Option<NextDeadline>,
    /// The exchange's clock.
    pub now: Time,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TodoItem {
    #[serde(flatten)]
    pub item: InboxItem,
    /// In a word or two.
    pub what: String,
    /// What to type.
    pub command: String,
    /// Of the proposal, if it was opened on this machine and the member may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What this machine has of what waits, by which the next step is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BegunHere {
    /// Proposals for which there is a draft of a review.
    pub drafts: BTreeSet<ProposalId>,
    /// Proposals with a sealed document that has not arrived at the exchange.
    pub uploads: BTreeSet<ProposalId>,
    /// The member, if a request of theirs for other keys is under way.
    pub awaits_welcome: Option<MemberId>,
}

impl Client {
    /// What waits for the profile's member.
    pub async fn todo(&self) -> Result<Todo> {
        let inbox = self.api().inbox().await?;
        // Where the own nation's card is not pinned, the exchange's word about the key card stands.
        let ends = self.key_expiry().await.ok().map(|expiry| expiry.first());
        let mut todo = joined(inbox, ends, &self.begun_here().await);
        let titled = todo.items.iter().filter(|item| is_readable(item.item.kind)).filter_map(|item| item.item.proposal);
        let titles = self.kept_titles(&titled.collect()).await;
        for item in todo.items.iter_mut().filter(|item| is_readable(item.item.kind)) {
            item.title = item.item.proposal.and_then(|proposal| titles.title(proposal)).map(str::to_owned);
        }
        Ok(todo)
    }

    /// What was begun on this machine. Nothing is opened for it, and a file that is damaged keeps nobody from what waits: the command for
    /// it says so.
    async fn begun_here(&self) -> BegunHere {
        let me = self.member_id().await.ok();
        BegunHere {
            drafts: self.drafts().unwrap_or_default().into_iter().collect(),
            uploads: self.interrupted_uploads().unwrap_or_default().iter().map(|upload| upload.proposal).collect(),
            awaits_welcome: me.filter(|me| self.home().awaits_welcome(me)),
        }
    }
}

/// Whether who has such an item may read the summary of a version that was signed. Where something is to be signed, the command shows what it is,
/// verified: the exchange's word for which proposal an item is about is no ground to sign by.
fn is_readable(kind: ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::Read
            | ItemKind::Review
            | ItemKind::ReadLetter
            | ItemKind::PassKeys
            | ItemKind::BytesMissing
            | ItemKind::Declined
    )
}

/// The exchange's items, with the end of the member's own keys as this machine knows it: the certificate of the profile can end before the
/// key card does.
fn joined(inbox: Inbox, keys_end: Option<Timestamp>, begun: &BegunHere) -> Todo {
    let Inbox { mut items, more, next_deadline, now } = inbox;
    if let Some(ends_at) = keys_end {
        items.retain(|item| item.kind != ItemKind::CardExpiring);
        if ends_at <= horizon(now.0, FIRST_DAYS) {
            items.push(InboxItem { due_at: Some(Time(ends_at)), ..InboxItem::new(ItemKind::CardExpiring) });
        }
    }
    items.sort_by_key(|item| item.due_at.map_or(Timestamp::MAX, |due| due.0));
    Todo { items: items.into_iter().map(|item| in_words(item, begun)).collect(), more, next_deadline, now }
}

/// An item in words, with its command.
#[must_use]
pub fn in_words(item: InboxItem, begun: &BegunHere) -> TodoItem {
    TodoItem { what: what(&item), command: command(&item, begun), title: None, item }
}

/// What a person reads and types for the proposal of an item, or its call.
#[must_use]
pub fn named(item: &InboxItem) -> String {
    let proposal = item.reference.as_ref().map(ToString::to_string).or_else(|| item.proposal.map(|id| id.to_string()));
    proposal.unwrap_or_else(|| call_named(item))
}

/// What a person reads and types for the call of an item.
fn call_named(item: &InboxItem) -> String {
    let call = item.code.as_ref().map(ToString::to_string).or_else(|| item.call.map(|id| id.to_string()));
    call.unwrap_or_default()
}

/// What is to be done, in a word or two.
fn what(item: &InboxItem) -> String {
    match item.kind {
        ItemKind::Invited => "join party".into(),
        ItemKind::Void => "sign again".into(),
        ItemKind::Sign => "sign".into(),
        ItemKind::BytesMissing => "send files".into(),
        ItemKind::DeadlineNear => "hand in".into(),
        ItemKind::SignLabel => "sign label".into(),
        ItemKind::ReadLetter => "letter".into(),
        ItemKind::Declare => "declare".into(),
        ItemKind::PassKeys => "pass keys".into(),
        ItemKind::Declined => "replace".into(),
        ItemKind::Read => "read".into(),
        ItemKind::Review => "review".into(),
        ItemKind::SignDecision => "decide".into(),
        ItemKind::ApprovePolicy => "approve".into(),
        ItemKind::CardExpiring => "renew keys".into(),
        ItemKind::RenewMembers => item.members.map_or_else(|| "renew".into(), |members| format!("renew {members}")),
    }
}

/// What is to be done, for who does not know the commands.
#[must_use]
pub fn in_a_sentence(item: &InboxItem) -> String {
    match item.kind {
        ItemKind::Invited => "Join the party that invites you".into(),
        ItemKind::Void => "Sign again: the call was amended".into(),
        ItemKind::Sign => "Sign the version that waits".into(),
        ItemKind::BytesMissing => "Send the files that are missing".into(),
        ItemKind::DeadlineNear => "Hand in before the deadline".into(),
        ItemKind::SignLabel => "Sign the label that waits".into(),
        ItemKind::ReadLetter => "Read the letter".into(),
        ItemKind::Declare => "Say whether you have a conflict of interest".into(),
        ItemKind::PassKeys => "Pass keys to members who lack them".into(),
        ItemKind::Declined => "Assign another reviewer".into(),
        ItemKind::Read => "Read the proposal".into(),
        ItemKind::Review => "Write the review".into(),
        ItemKind::SignDecision => "Sign the decision".into(),
        ItemKind::ApprovePolicy => {
            let owner = item.owner.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("Approve version {} of the policies of {owner}", item.version.unwrap_or_default())
        }
        ItemKind::CardExpiring => "Renew your keys".into(),
        ItemKind::RenewMembers => {
            let members = u64::from(item.members.unwrap_or_default());
            format!("Renew the key cards of {}", counted(members, "member", "members"))
        }
    }
}

/// The command that does it, or that shows what to choose.
fn command(item: &InboxItem, begun: &BegunHere) -> String {
    let named = named(item);
    let is_in = |proposals: &BTreeSet<ProposalId>| item.proposal.is_some_and(|proposal| proposals.contains(&proposal));
    match item.kind {
        ItemKind::Invited => format!("entente proposal accept {named}"),
        ItemKind::Void | ItemKind::Sign => format!("entente proposal sign {named}"),
        ItemKind::SignLabel => format!("entente proposal label {named} --sign"),
        ItemKind::ReadLetter => match item.letter {
            Some(letter) => format!("entente letter open {named} {letter}"),
            None => format!("entente letter list {named}"),
        },
        // A declaration is a person's own word: the command shows who takes part, and says nothing for them.
        ItemKind::Declare => format!("entente proposal status {named}"),
        ItemKind::BytesMissing if is_in(&begun.uploads) => format!("entente proposal resume {named}"),
        // What is missing, and who has it.
        ItemKind::BytesMissing | ItemKind::DeadlineNear => format!("entente proposal check {named}"),
        ItemKind::PassKeys if item.proposal.is_none() => format!("entente key share --call {named}"),
        ItemKind::PassKeys => format!("entente key share {named}"),
        ItemKind::Declined => format!("entente assignment list {named}"),
        ItemKind::Read => format!("entente proposal open {named} --output {named}/"),
        ItemKind::Review if is_in(&begun.drafts) => format!("entente review submit {named}"),
        ItemKind::Review => format!("entente review form {}", call_named(item)),
        ItemKind::SignDecision => format!("entente decision show {named}"),
        ItemKind::ApprovePolicy => {
            let owner = item.owner.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("entente policy approve {owner} {}", item.version.unwrap_or_default())
        }
        ItemKind::CardExpiring => match &begun.awaits_welcome {
            Some(member) => format!("entente join {}", welcome_name(member)),
            None => "entente member renew".into(),
        },
        ItemKind::RenewMembers => "entente member list".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn item(kind: ItemKind, due: Option<&str>) -> InboxItem {
        let proposal = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().ok();
        let due_at = due.map(|due| Time(at(due)));
        InboxItem { proposal, due_at, ..InboxItem::new(kind) }
    }

    fn inbox(items: Vec<InboxItem>) -> Inbox {
        Inbox { items, more: false, next_deadline: None, now: Time(at("2026-04-01T00:00:00Z")) }
    }

    #[test]
    fn what_is_due_first_comes_first_and_what_has_no_end_last() {
        let items = vec![
            item(ItemKind::ReadLetter, None),
            item(ItemKind::Sign, Some("2026-04-09T00:00:00Z")),
            item(ItemKind::Review, Some("2026-03-09T00:00:00Z")),
        ];
        let kinds: Vec<_> =
            joined(inbox(items), None, &BegunHere::default()).items.into_iter().map(|item| item.item.kind).collect();
        assert_eq!(kinds, [ItemKind::Review, ItemKind::Sign, ItemKind::ReadLetter]);
    }

    #[test]
    fn certificate_that_ends_first_is_what_is_renewed() {
        let exchange = || inbox(vec![item(ItemKind::CardExpiring, Some("2026-05-20T00:00:00Z"))]);
        let due = |ends: Option<&str>| {
            let todo = joined(exchange(), ends.map(at), &BegunHere::default());
            todo.items.iter().map(|item| item.item.due_at.unwrap().0).collect::<Vec<_>>()
        };
        assert_eq!(due(None), [at("2026-05-20T00:00:00Z")]);
        assert_eq!(due(Some("2026-05-01T00:00:00Z")), [at("2026-05-01T00:00:00Z")]);
        assert!(due(Some("2026-07-01T00:00:00Z")).is_empty(), "renewed already, as this machine knows");
    }
}
