//! `entente join`: becoming a member by one file each way. An invitation is answered by a request; the welcome ends in a profile.

use super::{
    context::{Context, joined},
    directory,
    error::{CliError, Result, read_input},
    handover::{Earlier, path_text, require_new, write_file},
};
use crate::{
    client::{
        ClientError,
        directory::typed_fingerprint,
        joining::{self, JoinAnswer, JoinChoice, VerifiedInvitation, handover_name, read_invitation, read_json_file},
    },
    domain::id::Sha256,
    platform,
    sealing::{
        identity::{DEFAULT_WORK_FACTOR, Keyring, SecretText, new_identity, protect, write_identity_file},
        joining::{InvitationFile, RequestFile, WelcomeFile},
    },
};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The longest invitation: the cards of some hundred nations.
const MAX_FILE: u64 = 16 << 20;

/// Become a member: answer an invitation, then take the welcome
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente join invitation-ISR-avi.json --fingerprint '3f9a…'
      makes keys and a request
  entente join welcome-ISR-avi.json   then `entente me` names you

The fingerprint is that of your own nation's card. Officials tell it to you by telephone, in person or on paper; type it. \
Give the request file that is written to your registrar, by any way: nothing in it is secret. Your keys stay in the home \
folder, protected by one passphrase; `entente unlock` asks for it once a day, and on Windows, where there is none, each \
command does. Keep a copy of the identity file: without it you cannot open what was sealed to you.")]
pub struct JoinArgs {
    /// The invitation, or the welcome
    file: PathBuf,
    /// SHA-256 of your nation's card, as officials told it; for an invitation
    #[arg(long, value_name = "SHA256", value_parser = typed_fingerprint)]
    fingerprint: Option<Sha256>,
    /// Use this age identity, ssh private key or plugin identity instead of a new one; may be given several times
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Leave the new keys unprotected by a passphrase, for machines
    #[arg(long)]
    plain: bool,
    /// Name of the profile [default: the member's handle]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to write the request [default: request-CODE-HANDLE.json]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Begin again although a request of yours is under way; the welcome for the earlier one is then of no use
    #[arg(long)]
    again: bool,
}

/// Runs the command.
pub(super) async fn run(args: JoinArgs, context: &Context) -> Result<()> {
    let bytes = read_input(&args.file, MAX_FILE)?;
    let value: Value = read_json_file(&args.file, &bytes, "invitation and no welcome")?;
    if value.get("key_card").is_some() {
        return welcome(&args.file, &bytes, context).await;
    }
    let file: InvitationFile = read_json_file(&args.file, &bytes, "invitation")?;
    let Some(fingerprint) = args.fingerprint else {
        return Err(CliError::usage("an invitation is believed by the fingerprint of your nation's card")
            .help("have your nation's officials tell you the fingerprint, and type it: `--fingerprint`"));
    };
    let invitation = read_invitation(&file, &fingerprint, context.now())?;
    let context = context.clone();
    // A person is asked for a passphrase, and an interruption is heard meanwhile.
    tokio::task::spawn_blocking(move || answer(&args, &invitation, &context)).await.map_err(CliError::failed)?
}

fn answer(args: &JoinArgs, invitation: &VerifiedInvitation, context: &Context) -> Result<()> {
    let home = context.home()?;
    let invited = &invitation.invitation;
    let member = &invited.member;
    context.out.aside(|screen| {
        screen.fields(&[
            ("member", member.to_string()),
            ("name", invited.name.clone()),
            ("organisation", invited.organisation.clone()),
            ("roles", joined(&invited.roles)),
            ("exchange", invited.server.clone()),
        ]);
    });
    home.require_text()?;
    if !args.again {
        home.require_not_joining(member)?;
    }
    let request = args.to.clone().unwrap_or_else(|| PathBuf::from(handover_name("request", member)));
    let earlier = if args.again { Earlier::IsReplaced } else { Earlier::Stays };
    if !args.again {
        require_new(&request)?;
    }
    // One passphrase for all that is made here.
    let passphrase = if args.plain { None } else { Some(context.keyboard().new_passphrase()?) };
    let identities = if args.identity.is_empty() {
        vec![new_identity_file(&home.root().join("keys"), member.handle(), passphrase.as_ref(), context)?]
    } else {
        args.identity.iter().map(|path| full_path(path)).collect::<Result<Vec<_>>>()?
    };
    let mut keyring = Keyring::new();
    for path in &identities {
        keyring.add(Keyring::load(path, &context.keyboard()).map_err(ClientError::from)?);
    }
    let choice = JoinChoice {
        profile: args.name.clone().unwrap_or_else(|| member.handle().to_owned()),
        identities,
        zone: context.global.zone.clone(),
        again: args.again,
        passphrase,
    };
    let identities = choice.identities.clone();
    let answered = invitation.answer(&home, &choice, &keyring, &context.ambient)?;
    for code in &answered.differing {
        context.out.warn(&format!(
            "another card of `{code}` than your registrar's is pinned on this machine and stays; ask your registrar"
        ));
    }
    if let Some(unchecked) = platform::UNCHECKED {
        context.out.warn(unchecked);
    }
    write_request(&answered, &request, earlier, context)?;
    let named = identities.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("`, `");
    context
        .out
        .note(&format!("keep a copy of `{named}` in a safe place: without it you cannot open what was sealed to you"));
    Ok(())
}

/// Writes a request and says what to do with it.
pub(super) fn write_request(answered: &JoinAnswer, to: &Path, earlier: Earlier, context: &Context) -> Result<()> {
    write_file(to, &answered.request, earlier)?;
    let answer = json!({ "request": path_text(to), "private_key": path_text(&answered.private_key), "pinned": answered.pinned,
        "key": answered.key, "recipients": answered.recipients });
    context.out.answer(&answer, |screen| {
        screen.fields(&[
            ("request", to.display().to_string()),
            ("recipients", answered.recipients.join("\n")),
            ("key", answered.key.to_string()),
            ("private key", answered.private_key.display().to_string()),
            ("pinned", joined(&answered.pinned)),
        ]);
    })?;
    context
        .out
        .note("next: give the request file to your registrar; `entente join` takes the welcome file that you get back");
    Ok(())
}

fn new_identity_file(
    folder: &Path,
    handle: &str,
    passphrase: Option<&SecretText>,
    context: &Context,
) -> Result<PathBuf> {
    let identity = new_identity();
    let text = identity.file_text(context.now());
    let content = match passphrase {
        None => text.expose().as_bytes().to_vec(),
        Some(passphrase) => protect(&text, passphrase, DEFAULT_WORK_FACTOR).map_err(CliError::failed)?,
    };
    platform::make_private_folder(folder).map_err(|error| {
        CliError::failed(format!("cannot make `{}`: {error}", folder.display())).help("choose another `--home`")
    })?;
    let extension = if passphrase.is_none() { "key" } else { "age" };
    // Each identity has a name of its own, so that none is ever overwritten.
    let ending = &identity.recipient()[identity.recipient().len() - 8..];
    let path = folder.join(format!("{handle}-{ending}.{extension}"));
    write_identity_file(&path, &content).map_err(CliError::failed)?;
    Ok(path)
}

async fn welcome(path: &Path, bytes: &[u8], context: &Context) -> Result<()> {
    let file: WelcomeFile = read_json_file(path, bytes, "welcome")?;
    let (home, keyboard, now) = (context.home()?, context.keyboard(), context.now());
    let profile = tokio::task::spawn_blocking(move || joining::welcome(&home, &file, &keyboard, now));
    let profile = profile.await.map_err(CliError::failed)??;
    context.out.note(&format!("profile `{}` is ready", profile.name));
    let mut context = context.clone();
    context.global.profile = Some(profile.name);
    directory::me(&context).await
}

fn full_path(path: &Path) -> Result<PathBuf> {
    platform::full_path(path).map_err(|error| {
        CliError::failed(format!("cannot find `{}`: {error}", path.display()))
            .help("check the path and its permissions")
    })
}

/// Reads a request file.
pub(super) fn read_request(path: &Path) -> Result<RequestFile> {
    Ok(read_json_file(path, &read_input(path, 1 << 20)?, "request to join")?)
}
