//! `entente keys`: the member's own age identity. The secret half is written to a file and never shown.

use super::{
    context::Context,
    error::{CliError, Result},
    handover::path_text,
};
use crate::{
    client::{ClientError, Home},
    platform,
    sealing::identity::{DEFAULT_WORK_FACTOR, Keyring, new_identity, protect, write_identity_file},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Make and look at your own age identity
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new age identity
    #[command(after_help = "Examples:
  entente keys new --passphrase   asks; writes identity.age in the home folder
  entente keys new --passphrase --output ~/me.age
  entente keys new --plain --output ~/me.key
      for machines; only its owner can read the file
  entente --passphrase-file ~/pass keys new --passphrase

Ssh keys and plugin identities (YubiKey and others) need no making: name their files in \
`entente profile add --identity`. Give the recipient that is printed to your partner's registrar.")]
    New(New),
    /// Show the public keys (recipients) of identity files
    #[command(after_help = "Examples:
  entente keys show                    the identities of the profile
  entente keys show ~/me.age ~/.ssh/id_ed25519")]
    Show(Show),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("protection").required(true).args(["plain", "passphrase"]))]
pub struct New {
    /// Where to write it; never over an existing file [default: identity.age or identity.key in the home folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave it unprotected, readable by you alone
    #[arg(long)]
    plain: bool,
    /// Protect it with a passphrase, asked for at the terminal or read from `--passphrase-file`
    #[arg(long)]
    passphrase: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// Identity files [default: those of the profile]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub(super) fn run(command: KeysCommand, context: &Context) -> Result<()> {
    match command {
        KeysCommand::New(args) => new(&args, context),
        KeysCommand::Show(args) => show(&args, context),
    }
}

fn new(args: &New, context: &Context) -> Result<()> {
    let name = if args.passphrase { "identity.age" } else { "identity.key" };
    let path = match &args.output {
        Some(path) => path.clone(),
        None => private_home(&context.home()?)?.join(name),
    };
    if path.exists() {
        return Err(CliError::failed(format!("`{}` exists already; an identity is never overwritten", path.display()))
            .help("choose another name with `--output`"));
    }
    let identity = new_identity();
    let text = identity.file_text(context.now());
    if args.passphrase {
        let passphrase = context.keyboard().new_passphrase()?;
        let protected = protect(&text, &passphrase, DEFAULT_WORK_FACTOR).map_err(CliError::failed)?;
        write_identity_file(&path, &protected).map_err(CliError::failed)?;
    } else {
        write_identity_file(&path, text.expose().as_bytes()).map_err(CliError::failed)?;
    }
    let answer = json!({ "file": path_text(&path), "recipient": identity.recipient(), "protected": args.passphrase });
    context.out.answer(&answer, |screen| {
        screen.fields(&[("identity", path.display().to_string()), ("recipient", identity.recipient().to_owned())]);
    })?;
    if let Some(unchecked) = platform::UNCHECKED.filter(|_| !args.passphrase) {
        context.out.warn(unchecked);
    }
    context.out.note("keep a copy of the file in a safe place: without it you cannot open what was sealed to you");
    context.out.note("give the recipient to your partner's registrar for your key card");
    Ok(())
}

fn show(args: &Show, context: &Context) -> Result<()> {
    let files = if args.files.is_empty() {
        context.home()?.profile(context.global.profile.as_deref())?.identities
    } else {
        args.files.clone()
    };
    if files.is_empty() {
        return Err(CliError::usage("the profile names no identity").help("name a file, or see `entente profile add`"));
    }
    let mut shown = Vec::new();
    for file in &files {
        let keyring = Keyring::load(file, &context.keyboard()).map_err(ClientError::from)?;
        shown.push((file.display().to_string(), keyring.recipients().to_vec()));
    }
    let answer: Vec<_> =
        shown.iter().map(|(file, recipients)| json!({ "file": file, "recipients": recipients })).collect();
    context.out.answer(&json!({ "items": answer }), |screen| {
        for (file, recipients) in &shown {
            screen.heading(file);
            for recipient in recipients {
                screen.line(recipient);
            }
            if recipients.is_empty() {
                screen.line("the plugin does not tell its recipient; use what the plugin's own tool printed");
            }
        }
    })
}

/// The home folder, made for its owner alone if it is not there.
fn private_home(home: &Home) -> Result<&Path> {
    platform::make_private_folder(home.root()).map_err(|error| {
        CliError::failed(format!("cannot make `{}`: {error}", home.root().display())).help("choose another `--home`")
    })?;
    Ok(home.root())
}
