//! `entente partner card`: what a nation's officials do before anybody of theirs connects: a registrar's key, the nation's card, and its next one.
//! Works without a profile and without the exchange.

use super::{
    context::{Context, joined},
    error::{CliError, Result, read_input},
    handover::{Earlier, path_text, require_new, write_text},
    key_card::instant_argument,
    output::Screen,
    prompt::Consent,
};
use crate::{
    client::{
        approval::Certification,
        partner_cards::{
            CardDifference, NewPartnerCard, PartnerCardEdit, RegistrarKey, authorities, differences, ends_in_words,
            read_card,
        },
    },
    domain::id::{MemberId, PartnerCode, Sha256},
    platform,
    sealing::{card::PartnerCard, certificates::NewCertificateKey, identity::write_identity_file, private_key},
};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The longest file of certificates or of a card.
const MAX_FILE: u64 = 1 << 20;

/// How long a registrar's certificate is good if nothing else is said.
const A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// Make your nation's partner card, which the host enrols and every other nation confirms by its fingerprint
#[derive(Debug, Subcommand)]
pub enum PartnerCardCommand {
    /// Make a registrar's key, with a certificate by your nation's authority or a request for one
    #[command(after_help = "Examples:
  entente partner card key ISR:registrar --ca-certificate ca.crt --ca-key ca.key
  entente partner card key ISR:registrar --request

Writes ISR-registrar.key, and ISR-registrar.crt or, for the national PKI, ISR-registrar.csr. The first registrar needs it: \
everybody else is invited. docs/operations.md says what the certificate must contain.")]
    Key(RegistrarKeyArgs),
    /// Make a partner card
    #[command(after_help = "Examples:
  entente partner card new --code ISR --name Israel --zone Asia/Jerusalem \\
      --anchor ca.crt --registrar ISR-registrar.crt --to isr-card.json

Give the file to the host's operator, who takes it with `entente-server partner card isr-card.json`. Officials then tell \
its fingerprint to the host and to every other nation by telephone, in person or on paper.")]
    New(NewCardArgs),
    /// Make the next card from the present one: another authority or registrar beside or in place of the old ones
    #[command(after_help = "Examples:
  entente partner card renew isr-card.json --anchor next-ca.crt \\
      --to isr-card-2.json
  entente partner card renew isr-card.json --registrar ISR-tamar.crt \\
      --to isr-card-2.json
  entente partner card renew isr-card.json --without-ended --to isr-card-3.json

Shows the card before and after. The fingerprint changes, so tell the new one to everybody as you did the first time. Put \
the next authority in while the present one lasts, and leave the present one out once members have certificates by the next.")]
    Renew(Box<RenewCardArgs>),
    /// Show a partner card in a file, with its fingerprint for the telephone
    #[command(after_help = "Examples:\n  entente partner card show isr-card.json")]
    Show {
        /// The card, JSON
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("certification").required(true).args(["ca_certificate", "request"]))]
pub struct RegistrarKeyArgs {
    /// The registrar to be
    member: MemberId,
    /// Certificate of your nation's authority, PEM, whose key is at hand
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_certificate: Option<PathBuf>,
    /// Its private key, PEM; can be protected by a passphrase
    #[arg(long, value_name = "FILE", requires = "ca_certificate")]
    ca_key: Option<PathBuf>,
    /// Write a request for a certificate (PKCS #10), for the national PKI
    #[arg(long)]
    request: bool,
    /// First instant past validity of the certificate [default: a year from now]
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument, conflicts_with = "request")]
    valid_until: Option<Timestamp>,
    /// Leave the key unprotected by a passphrase, for machines
    #[arg(long)]
    plain: bool,
    /// Folder for the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
}

#[derive(Debug, Args)]
pub struct NewCardArgs {
    /// Your nation's code: two to eight capital letters or digits
    #[arg(long)]
    code: PartnerCode,
    /// Name that people know it by
    #[arg(long)]
    name: String,
    /// IANA time zone in which its deadlines are shown
    #[arg(long)]
    zone: String,
    /// Certificates of the authority that issues your members' certificates, PEM; may be given several times
    #[arg(long = "anchor", value_name = "FILE", required = true)]
    anchors: Vec<PathBuf>,
    /// A registrar's certificate, PEM, or the SHA-256 of its public key; may be given several times
    #[arg(long = "registrar", value_name = "FILE|SHA256", required = true)]
    registrars: Vec<String>,
    /// Where to write the card [default: CODE-card.json]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RenewCardArgs {
    /// The present card, JSON
    file: PathBuf,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another time zone
    #[arg(long)]
    zone: Option<String>,
    /// Certificates of a further authority, PEM; may be given several times
    #[arg(long = "anchor", value_name = "FILE")]
    anchors: Vec<PathBuf>,
    /// Leave out the authority whose key begins so, as `partner card show` has it; may be given several times
    #[arg(long = "without-anchor", value_name = "DIGITS", value_parser = key_digits)]
    without_anchors: Vec<String>,
    /// Leave out authorities whose certificates have ended
    #[arg(long)]
    without_ended: bool,
    /// A further registrar's certificate, PEM, or the SHA-256 of its public key; may be given several times
    #[arg(long = "registrar", value_name = "FILE|SHA256")]
    registrars: Vec<String>,
    /// Leave out this registrar; may be given several times
    #[arg(long = "without-registrar", value_name = "FILE|SHA256")]
    without_registrars: Vec<String>,
    /// Where to write the card
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    to: Option<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(command: PartnerCardCommand, context: &Context) -> Result<()> {
    match command {
        PartnerCardCommand::Key(args) => key(&args, context),
        PartnerCardCommand::New(args) => new(args, context),
        PartnerCardCommand::Renew(args) => renew(*args, context).await,
        PartnerCardCommand::Show { file } => {
            let card = card_in(&file)?;
            let now = context.now();
            let spoken = spoken(&card)?;
            let shown = lines(&card, now)?;
            context.out.answer(&as_json(&card)?, |screen| show(screen, &shown, &spoken))
        }
    }
}

fn key(args: &RegistrarKeyArgs, context: &Context) -> Result<()> {
    let member = &args.member;
    let file = |kind: &str| args.to.join(format!("{}-{}.{kind}", member.partner(), member.handle()));
    let (key_file, certificate_file, request_file) = (file("key"), file("crt"), file("csr"));
    [&key_file, &certificate_file, &request_file].into_iter().try_for_each(|path| require_new(path))?;
    let now = context.now();
    let valid_until = args.valid_until.unwrap_or(now + A_YEAR);
    if valid_until <= now {
        return Err(CliError::usage(format!("{valid_until:.0} is past")).help("give a later `--valid-until`"));
    }
    let certification = match (&args.ca_certificate, &args.ca_key) {
        (Some(certificate), Some(key)) => Some(Certification::of_authority(certificate, key, &context.keyboard())?),
        _ => None,
    };
    let made = NewCertificateKey::new(member, now, &*context.ambient.rng).map_err(CliError::failed)?;
    let key = if args.plain {
        made.private_key.clone()
    } else {
        let passphrase = context.keyboard().new_passphrase()?;
        private_key::protected(&made.private_key, &passphrase, &*context.ambient.rng).map_err(CliError::failed)?
    };
    let (written, next) = match certification {
        Some(Certification::Authority(authority)) => {
            let valid = (now - SignedDuration::from_mins(10), valid_until.min(authority.not_after()));
            let certificate = authority.issue(member, &made.request, valid, &*context.ambient.rng);
            let certificate = certificate.map_err(CliError::failed)?;
            write_identity_file(&key_file, key.expose().as_bytes()).map_err(CliError::failed)?;
            write_text(&certificate_file, &certificate, Earlier::Stays)?;
            (
                certificate_file,
                "next: name the certificate in your nation's card: `entente partner card new --registrar`",
            )
        }
        _ => {
            write_identity_file(&key_file, key.expose().as_bytes()).map_err(CliError::failed)?;
            write_text(&request_file, &made.request, Earlier::Stays)?;
            (
                request_file,
                "next: have the national PKI sign the request, then name the certificate in your nation's card",
            )
        }
    };
    let pin = made.signing_key.spki_sha256();
    let answer =
        json!({ "member": member, "private_key": path_text(&key_file), "written": path_text(&written), "key": pin });
    context.out.answer(&answer, |screen| {
        screen.fields(&[
            ("private key", key_file.display().to_string()),
            ("written", written.display().to_string()),
            ("key", pin.to_string()),
        ]);
    })?;
    if let Some(unchecked) = platform::UNCHECKED {
        context.out.warn(unchecked);
    }
    if args.plain {
        context.out.note("the private key has no passphrase; README.md says how to protect it by one");
    }
    context.out.note(next);
    Ok(())
}

fn new(args: NewCardArgs, context: &Context) -> Result<()> {
    let to = args.to.unwrap_or_else(|| PathBuf::from(format!("{}-card.json", args.code)));
    require_new(&to)?;
    let parts = NewPartnerCard {
        code: args.code,
        name: args.name,
        zone: args.zone,
        anchors: bundle(&args.anchors)?,
        registrars: registrars(&args.registrars)?,
    };
    let card = parts.make(context.now())?;
    written(&card, &to, context)
}

/// What leaving a registrar out takes with it.
const WITHOUT_REGISTRAR: &str = "key cards that this registrar signed count no more, earlier ones neither, so nobody can verify from then on \
                                 what their members signed before: have receipts and dossiers made first (`entente proposal receipt`, `entente \
                                 dossier`), which are verified with the card before (`--card`), and publish each of these key cards again";

async fn renew(args: RenewCardArgs, context: &Context) -> Result<()> {
    let before = card_in(&args.file)?;
    let edit = PartnerCardEdit {
        name: args.name,
        zone: args.zone,
        anchors: bundle(&args.anchors)?,
        without_anchors: args.without_anchors,
        without_ended: args.without_ended,
        registrars: registrars(&args.registrars)?,
        without_registrars: registrars(&args.without_registrars)?,
    };
    let after = edit.apply(&before, context.now())?;
    let differing = differences(&before, &after)?;
    let (old, new) = (before.fingerprint().map_err(CliError::failed)?, after.fingerprint().map_err(CliError::failed)?);
    let changes: Vec<String> = differing.iter().map(worded).collect();
    if differing.iter().any(|change| matches!(change, CardDifference::Gone { what: "registrar", .. })) {
        context.out.warn(WITHOUT_REGISTRAR);
    }
    let show_changes = |screen: &mut Screen| {
        for line in &changes {
            screen.line(line);
        }
        screen.line(&format!("fingerprint before  {old}"));
        screen.line(&format!("fingerprint after   {new}"));
    };
    let Some(to) = args.to.filter(|_| !args.dry_run) else {
        let answer = json!({ "changes": changes, "before": old, "after": new });
        return context.out.answer(&answer, show_changes);
    };
    require_new(&to)?;
    context.out.aside(show_changes);
    let what = "every nation has to confirm the new fingerprint, and the host to enrol the new card, before it counts";
    context.keyboard().agree(args.consent, what).await?;
    written(&after, &to, context)
}

/// Writes a card and shows it, with what to do next.
fn written(card: &PartnerCard, to: &Path, context: &Context) -> Result<()> {
    let text = serde_json::to_string_pretty(card).map_err(CliError::failed)? + "\n";
    write_text(to, &text, Earlier::Stays)?;
    let (shown, spoken) = (lines(card, context.now())?, spoken(card)?);
    context.out.answer(&as_json(card)?, |screen| show(screen, &shown, &spoken))?;
    context
        .out
        .note(&format!("next: give `{}` to the host's operator, by any way: nothing in it is secret", to.display()));
    context.out.note(
        "then tell the fingerprint to the host and to every other nation by telephone, in person or on paper: one reads all sixteen \
         groups, the other compares each with their own screen and says the last one back",
    );
    Ok(())
}

fn card_in(file: &Path) -> Result<PartnerCard> {
    Ok(read_card(&read_input(file, MAX_FILE)?)?)
}

fn bundle(files: &[PathBuf]) -> Result<Vec<u8>> {
    let mut bundle = Vec::new();
    for file in files {
        bundle.extend(read_input(file, MAX_FILE)?);
        bundle.push(b'\n');
    }
    Ok(bundle)
}

/// Registrars, each as a certificate in a file or the digest of a key.
fn registrars(given: &[String]) -> Result<Vec<RegistrarKey>> {
    let one = |text: &String| match text.parse::<Sha256>() {
        Ok(digest) => Ok(RegistrarKey::Digest(digest)),
        Err(_) => Ok(RegistrarKey::Certificate(read_input(Path::new(text), MAX_FILE)?)),
    };
    given.iter().map(one).collect()
}

/// The beginning of a key's digest.
fn key_digits(text: &str) -> Result<String, &'static str> {
    let digits = text.to_ascii_lowercase();
    if digits.len() < 8 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("give at least 8 of the hexadecimal digits of the key");
    }
    Ok(digits)
}

fn spoken(card: &PartnerCard) -> Result<String> {
    Ok(card.spoken_fingerprint().map_err(CliError::failed)?.join("\n"))
}

/// A card in words, but for its fingerprint.
fn lines(card: &PartnerCard, now: Timestamp) -> Result<Vec<(&'static str, String)>> {
    let authorities: Vec<String> = authorities(card)?
        .iter()
        .map(|authority| {
            format!(
                "{}\n{:.0}, {}\nkey {}",
                authority.subject,
                authority.not_after,
                ends_in_words(authority, now),
                authority.key
            )
        })
        .collect();
    Ok(vec![
        ("code", card.code.to_string()),
        ("name", card.name.clone()),
        ("zone", card.zone.clone()),
        ("authorities", authorities.join("\n")),
        ("registrars", joined(&card.registrars).replace(' ', "\n")),
    ])
}

fn show(screen: &mut Screen, lines: &[(&'static str, String)], spoken: &str) {
    let mut fields = lines.to_vec();
    fields.push(("fingerprint", spoken.to_owned()));
    screen.fields(&fields);
}

fn as_json(card: &PartnerCard) -> Result<Value> {
    Ok(json!({ "fingerprint": card.fingerprint().map_err(CliError::failed)?, "card": card }))
}

fn worded(difference: &CardDifference) -> String {
    match difference {
        CardDifference::Field { what, before, after } => format!("{what}: `{before}` is now `{after}`"),
        CardDifference::Gone { what, which } => format!("- {what} {which}"),
        CardDifference::New { what, which } => format!("+ {what} {which}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_by_their_beginning() {
        assert_eq!(key_digits("3F9A00aa"), Ok("3f9a00aa".to_owned()));
        for wrong in ["3f9a", "3f9a00ag", ""] {
            assert!(key_digits(wrong).is_err(), "{wrong}");
        }
    }
}
