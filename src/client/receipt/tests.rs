//! Receipts that verify, and every way in which one must not: changed, made up, by cards that nobody trusts, out of its time.

use super::*;
use crate::{
    client::testing::{Nation, Person, at},
    sealing::{
        card::CardStatus,
        statement::{ManifestDocument, sign_statement},
    },
};
use proptest::prelude::*;
use std::sync::OnceLock;

const SIGNED: &str = "2026-03-20T00:00:00Z";
const COMMITTED: &str = "2026-03-21T00:00:00Z";

/// Two nations, each with the member who signs.
struct World {
    nations: [(Nation, Person); 2],
}

impl World {
    fn new() -> Self {
        Self {
            nations: [("ISR", "avi"), ("USA", "dana")].map(|(code, handle)| {
                let nation = Nation::new(code);
                let person = nation.member(handle);
                (nation, person)
            }),
        }
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            call_text_sha256: Sha256::of(b"text"),
            proposal: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            reference: "WATER26-48175".parse().unwrap(),
            version: 2,
            parties: self.nations.iter().map(|(nation, _)| nation.code().clone()).collect(),
            documents: vec![ManifestDocument {
                slot: "summary".parse().unwrap(),
                party: None,
                vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
                recipient: "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa".into(),
                sha256: Sha256::of(b"sealed"),
                size: 500,
                media_type: "application/vnd.entente.summary+json".into(),
            }],
            label: None,
        }
    }

    fn receipt(&self) -> Receipt {
        let manifest = self.manifest();
        let sign = |(nation, person): &(Nation, Person)| {
            let signature = ReceiptSignature {
                member: person.card.member.clone(),
                signed_at: at(SIGNED).into(),
                manifest: sign_statement(&person.key, &manifest).unwrap(),
                key_cards: vec![published(nation, &person.card, "2026-01-01T00:00:00Z")],
            };
            (nation.code().clone(), signature)
        };
        Receipt {
            form: FORM.into(),
            proposal: manifest.proposal,
            reference: manifest.reference.clone(),
            version: manifest.version,
            manifest_sha256: canonical::digest(&manifest).unwrap(),
            committed_at: at(COMMITTED).into(),
            complete_at: at(COMMITTED).into(),
            signatures: self.nations.iter().map(sign).collect(),
            partner_cards: self.cards().into_iter().map(|card| (card.code.clone(), card)).collect(),
            made_by: self.nations[0].1.card.member.clone(),
            made_at: at("2026-03-22T00:00:00Z").into(),
            sha256: Sha256::of(b""),
        }
    }

    fn cards(&self) -> Vec<PartnerCard> {
        self.nations.iter().map(|(nation, _)| nation.card.clone()).collect()
    }

    fn verify(&self, receipt: Receipt) -> Result<VerifiedReceipt> {
        verify(&receipt.written().unwrap(), &trusted(self.cards(), Vec::new()).unwrap())
    }
}

/// What makes another receipt of one.
type Change<'a> = Box<dyn Fn(&mut Receipt) + 'a>;

fn published(nation: &Nation, card: &KeyCard, at_instant: &str) -> PublishedKeyCard {
    PublishedKeyCard { serial: card.serial, key_card: nation.issue(card), published_at: at(at_instant).into() }
}

/// One world for the tests that change bytes alone, with its receipt.
fn kept() -> &'static (World, Vec<u8>) {
    static KEPT: OnceLock<(World, Vec<u8>)> = OnceLock::new();
    KEPT.get_or_init(|| {
        let world = World::new();
        let bytes = world.receipt().written().unwrap();
        (world, bytes)
    })
}

#[test]
fn receipt_says_what_was_signed_by_whom_and_when() {
    let (world, bytes) = kept();
    let verified = verify(bytes, &trusted(world.cards(), Vec::new()).unwrap()).unwrap();
    assert_eq!(verified.manifest, world.manifest());
    let avi = &verified.signers[&"ISR".parse().unwrap()];
    assert_eq!((avi.member.to_string(), avi.signed_at, avi.serial), ("ISR:avi".into(), at(SIGNED), 1));
    assert!(bytes.len() < MAX_RECEIPT / 1000);
}

#[test]
fn only_cards_that_the_reader_believes_count() {
    let (world, bytes) = kept();
    let [isr, usa] = <[PartnerCard; 2]>::try_from(world.cards()).unwrap();
    let refused = verify(bytes, &trusted([isr.clone()], []).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("`USA` is neither pinned on this machine nor given"), "{refused}");
    assert_eq!(refused.class().code(), 4);
    let given = verify(bytes, &trusted([isr.clone()], [usa.clone()]).unwrap()).unwrap();
    assert!(given.trusted[&usa.code].is_given && !given.trusted[&isr.code].is_given);
    // A card of that code that others made, and the receipt with theirs inside.
    let other = Nation::new("USA");
    let refused = verify(bytes, &trusted([isr.clone(), other.card.clone()], []).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("another card of `USA`"), "{refused}");
    let mut forged = world.receipt();
    forged.partner_cards.insert(other.code().clone(), other.card.clone());
    assert!(verify(&forged.clone().written().unwrap(), &trusted([isr.clone(), usa], []).unwrap()).is_err());
    assert!(verify(&forged.written().unwrap(), &trusted([isr, other.card], []).unwrap()).is_err());
}

#[test]
fn receipt_that_was_made_up_is_refused_although_its_digest_is_right() {
    let world = World::new();
    assert!(world.verify(world.receipt()).is_ok());
    let other: Manifest = Manifest { version: 3, ..world.manifest() };
    let by = |person: &Person, manifest: &Manifest| sign_statement(&person.key, manifest).unwrap();
    let (isr, usa): (PartnerCode, PartnerCode) = ("ISR".parse().unwrap(), "USA".parse().unwrap());
    let avi = &world.nations[0].1;
    let changes: Vec<(&str, Change<'_>)> = vec![
        ("version", Box::new(|receipt| receipt.version = 3)),
        (
            "reference",
            Box::new(|receipt| {
                receipt.reference = "WATER26-00017"
                    .parse()
                    .unwrap_or_else(|_| crate::domain::reference::Reference::new(receipt.reference.code(), "0001"));
            }),
        ),
        ("digest", Box::new(|receipt| receipt.manifest_sha256 = Sha256::of(b"x"))),
        (
            "a party less",
            Box::new(|receipt| {
                receipt.signatures.remove(&usa);
                receipt.partner_cards.remove(&usa);
            }),
        ),
        (
            "no party",
            Box::new(|receipt| {
                receipt.signatures.clear();
                receipt.partner_cards.clear();
            }),
        ),
        (
            "another manifest",
            Box::new(|receipt| {
                receipt.signatures.get_mut(&isr).unwrap().manifest = by(avi, &other);
            }),
        ),
        (
            "another's signature",
            Box::new(|receipt| {
                receipt.signatures.get_mut(&usa).unwrap().manifest = by(avi, &world.manifest());
            }),
        ),
        (
            "another's name",
            Box::new(|receipt| {
                receipt.signatures.get_mut(&isr).unwrap().member = "ISR:noa".parse().unwrap();
            }),
        ),
        ("no key card", Box::new(|receipt| receipt.signatures.get_mut(&isr).unwrap().key_cards.clear())),
        (
            "signed before the key card",
            Box::new(|receipt| {
                receipt.signatures.get_mut(&isr).unwrap().signed_at = at("2025-12-01T00:00:00Z").into();
            }),
        ),
        (
            "signed after the key card ended",
            Box::new(|receipt| {
                let late = at("2027-06-01T00:00:00Z").into();
                receipt.signatures.get_mut(&isr).unwrap().signed_at = late;
                (receipt.committed_at, receipt.complete_at) = (late, late);
            }),
        ),
        (
            "signed after all had",
            Box::new(|receipt| {
                receipt.signatures.get_mut(&isr).unwrap().signed_at = at("2026-03-22T00:00:00Z").into();
            }),
        ),
        ("whole before it was signed", Box::new(|receipt| receipt.complete_at = at(SIGNED).into())),
        ("another form", Box::new(|receipt| receipt.form = "entente-receipt/2".into())),
    ];
    for (what, change) in changes {
        let mut receipt = world.receipt();
        change(&mut receipt);
        let refused = world.verify(receipt).map(drop).unwrap_err();
        assert_eq!(refused.class().code(), 4, "{what}: {refused}");
    }
}

#[test]
fn key_card_is_judged_at_the_time_of_the_signature() {
    let world = World::new();
    let (nation, person) = &world.nations[0];
    let with = |cards: &[(&KeyCard, &str)]| {
        let mut receipt = world.receipt();
        let cards = cards.iter().map(|(card, at)| published(nation, card, at)).collect();
        receipt.signatures.get_mut(nation.code()).unwrap().key_cards = cards;
        world.verify(receipt)
    };
    let renewed = KeyCard {
        serial: 2,
        certificates: vec![Sha256::of(b"new key")],
        valid_from: at("2026-06-01T00:00:00Z"),
        valid_until: at("2027-06-01T00:00:00Z"),
        ..person.card.clone()
    };
    let first = (&person.card, "2026-01-01T00:00:00Z");
    let verified = with(&[(&renewed, "2026-06-01T00:00:00Z"), first]).unwrap();
    assert_eq!(verified.signers[nation.code()].serial, 1, "the card of then vouches, whatever came later");
    assert!(with(&[(&renewed, "2026-02-01T00:00:00Z"), first]).is_err(), "it was replaced by then");
    let stolen = KeyCard {
        serial: 2,
        status: CardStatus::Revoked,
        recipients: Vec::new(),
        certificates: Vec::new(),
        ..person.card.clone()
    };
    assert!(with(&[(&stolen, "2026-06-01T00:00:00Z"), first]).is_err(), "a stolen key takes back what it signed");
}

#[test]
fn every_byte_counts() {
    let (world, bytes) = kept();
    let trusted = trusted(world.cards(), Vec::new()).unwrap();
    for at in (0..bytes.len()).step_by(29) {
        for change in [1_u8, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            assert!(verify(&changed, &trusted).is_err(), "{at} {change}");
        }
    }
}

proptest! {
    #[test]
    fn no_mutation_of_a_receipt_verifies(
        from in any::<prop::sample::Index>(),
        cut in 0_usize..6,
        put in proptest::collection::vec(any::<u8>(), 0..6),
    ) {
        let (world, bytes) = kept();
        let from = from.index(bytes.len());
        let mut changed = bytes.clone();
        changed.splice(from..(from + cut).min(bytes.len()), put);
        prop_assume!(changed != *bytes && changed != [bytes.as_slice(), b"\n"].concat());
        prop_assert!(verify(&changed, &trusted(world.cards(), Vec::new()).unwrap()).is_err());
    }
}

#[test]
fn receipt_is_bounded() {
    let (world, bytes) = kept();
    let padded = [bytes.as_slice(), &vec![b' '; MAX_RECEIPT]].concat();
    let refused = verify(&padded, &trusted(world.cards(), Vec::new()).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("longer than"), "{refused}");
}
