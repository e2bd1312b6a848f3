//! `entente profile`: how to reach an exchange, and as whom. Holds paths of keys, never keys.

use super::{
    cell::TableCell,
    context::{Context, joined, whole},
    error::{CliError, Result},
    output::Screen,
    table::Table,
    time::Zone,
};
use crate::{
    client::{Client, ClientError, Profile, unlock::link},
    domain::id::MemberId,
    platform,
    sealing::identity::Keyring,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Set up how to reach an exchange, and as which member
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Add a profile, or replace the one of that name
    #[command(after_help = "Examples:
  entente profile add work --server https://exchange.example:8443 \\
      --server-ca server-ca.crt \\
      --certificate avi.crt --private-key avi.key \\
      --identity ~/.config/entente/identity.age

Several identities may be named, ssh private keys and plugin identities among them. `--zone` is kept in the profile. \
The member is read from the certificate's URI; name it with `--member` where the certificate has none.")]
    Add(AddProfileArgs),
    /// List profiles
    #[command(after_help = "Examples:\n  entente profile list\n  entente --json profile list | jq -r '.items[].name'")]
    List,
    /// Show a profile
    #[command(after_help = "Examples:\n  entente profile show\n  entente profile show work")]
    Show {
        /// Its name [default: the one in use]
        name: Option<String>,
    },
    /// Choose the profile that is used when none is named
    #[command(
        after_help = "Examples:\n  entente profile use work\n  entente --profile work me      for one command only"
    )]
    Use {
        /// Its name
        name: String,
    },
    /// Remove a profile, but not the files it points to; refused while sealed files of it wait to be sent
    #[command(after_help = "Examples:\n  entente profile remove work")]
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct AddProfileArgs {
    /// Its name
    name: String,
    /// Address of the exchange
    #[arg(long, value_name = "URL")]
    server: String,
    /// Authority of the server's certificate, PEM; no other is trusted
    #[arg(long, value_name = "FILE", required = true)]
    server_ca: Vec<PathBuf>,
    /// Your certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its private key, PEM, readable by you alone; can be protected by a passphrase
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,
    /// Age identity, ssh private key or plugin identity; several are tried in turn
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Who you are, where the certificate does not say it
    #[arg(long, value_name = "MEMBER")]
    member: Option<MemberId>,
}

/// Runs the command.
pub(super) fn run(command: ProfileCommand, context: &Context) -> Result<()> {
    let home = context.home()?;
    match command {
        ProfileCommand::Add(args) => add(args, context),
        ProfileCommand::List => {
            let chosen = home.default_profile()?;
            let profiles = home.profiles()?;
            let profiles = profiles.iter().map(|name| home.profile(Some(name))).collect::<Result<Vec<_>, _>>()?;
            let items: Vec<Value> = profiles.iter().map(|profile| as_json(profile, chosen.as_deref())).collect();
            context.out.answer(&whole(&items), |screen| lines(screen, &profiles, chosen.as_deref()))
        }
        ProfileCommand::Show { name } => {
            let profile = home.profile(name.as_deref().or(context.global.profile.as_deref()))?;
            let answer = as_json(&profile, home.default_profile()?.as_deref());
            context.out.answer(&answer, |screen| show(screen, &profile))
        }
        ProfileCommand::Use { name } => {
            home.set_default_profile(&name)?;
            context.out.done(&format!("profile `{name}` is used from now on"))
        }
        ProfileCommand::Remove { name } => {
            // Without the profile nobody would think of them.
            link::lock(&home, &name)?;
            home.remove_profile(&name)?;
            context.out.done(&format!("profile `{name}` removed"))
        }
    }
}

fn add(args: AddProfileArgs, context: &Context) -> Result<()> {
    if let Some(zone) = &context.global.zone {
        Zone::named(zone)?;
    }
    let certificate = absolute(&args.certificate)?;
    let private_key = absolute(&args.private_key)?;
    let pem = read(&certificate)?;
    let named = member_of(&pem);
    if let (Some(given), Some(named)) = (&args.member, &named)
        && given != named
    {
        return Err(CliError::usage(format!("the certificate is of `{named}`, not of `{given}`"))
            .help("leave `--member` out, or name that member's certificate"));
    }
    let mut identities = Vec::new();
    for file in &args.identity {
        let file = absolute(file)?;
        // A file that cannot be an identity is reported now, not when the first proposal is to be opened.
        Keyring::load(&file, &context.keyboard()).map_err(ClientError::from)?;
        identities.push(file);
    }
    let profile = Profile {
        name: args.name,
        server: args.server,
        server_ca: args.server_ca.iter().map(|file| absolute(file)).collect::<Result<_>>()?,
        certificate,
        private_key,
        identities,
        member: args.member.or(named),
        zone: context.global.zone.clone(),
    };
    // Refuses an address or an authority that nothing could connect with, and a key that signs nothing.
    let client = Client::new(context.home()?, profile.clone(), context.keyboard(), context.ambient.clone())?;
    client.signer().map_err(|error| {
        CliError::from(error).help("check `--certificate` and `--private-key`: they must be a pair, in PEM")
    })?;
    let home = context.home()?;
    home.save_profile(&profile)?;
    let answer = as_json(&profile, home.default_profile()?.as_deref());
    context.out.answer(&answer, |screen| show(screen, &profile))?;
    if let Some(unchecked) = platform::UNCHECKED {
        context.out.warn(unchecked);
    }
    if profile.identities.is_empty() {
        context
            .out
            .note("no identity: nothing can be opened; make one with `entente keys new` and add the profile again");
    }
    context.out.note("next: pin the partners you deal with, `entente trust add --help`");
    Ok(())
}

/// The member that a certificate's URI names.
pub(super) fn member_of(pem: &[u8]) -> Option<MemberId> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => MemberId::from_san_uri(uri).ok(),
        _ => None,
    })
}

fn show(screen: &mut Screen, profile: &Profile) {
    let path = |path: &Path| path.display().to_string();
    screen.fields(&[
        ("profile", profile.name.clone()),
        ("member", shown_member(profile)),
        ("server", profile.server.clone()),
        ("server ca", profile.server_ca.iter().map(|file| path(file)).collect::<Vec<_>>().join("\n")),
        ("certificate", path(&profile.certificate)),
        ("private key", path(&profile.private_key)),
        ("identities", profile.identities.iter().map(|file| path(file)).collect::<Vec<_>>().join("\n")),
        ("zone", profile.zone.clone().unwrap_or_default()),
    ]);
}

/// Profiles, one a line.
pub(super) fn lines(screen: &mut Screen, profiles: &[Profile], chosen: Option<&str>) {
    let mut table = Table::new(["NAME", "USED", "MEMBER", "SERVER"]);
    for profile in profiles {
        let used = if chosen == Some(&*profile.name) { TableCell::new("*", "yes") } else { TableCell::default() };
        let member = shown_member(profile);
        table.row([profile.name.as_str().into(), used, member.into(), profile.server.as_str().into()]);
    }
    screen.table(&table, "no profiles; make one with `entente profile add`");
}

fn shown_member(profile: &Profile) -> String {
    joined(&profile.member)
}

fn as_json(profile: &Profile, chosen: Option<&str>) -> Value {
    let mut value = serde_json::to_value(profile).unwrap_or_default();
    value["name"] = json!(profile.name);
    value["is_default"] = json!(chosen == Some(&profile.name));
    value
}

fn absolute(path: &Path) -> Result<PathBuf> {
    platform::full_path(path).map_err(|error| {
        CliError::failed(format!("cannot find `{}`: {error}", path.display()))
            .help("check the path and its permissions")
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    super::error::read_input(path, 1 << 20)
}
