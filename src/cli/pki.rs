//! `entente dev-pki`: writes a development PKI to a folder, for trying things out.

use super::{
    context::{Context, whole},
    error::{CliError, Result},
    handover::path_text,
    output::Screen,
    table::Table,
};
use crate::{
    dev_pki::{DevPki, Spec},
    domain::id::{MemberId, PartnerCode, Sha256},
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente dev-pki certs-dev
  entente dev-pki certs-dev --server-name exchange.test --member USA:bob \\
      --member ISR:avi --days 7

Writes server/{ca,server}.{crt,key} and, for USA, ISR, KOR, GBR and EU, CODE/{ca.crt,ca.key,crl.pem,card.json} and \
CODE/HANDLE.{crt,key} for the registrar and each member. The authorities of KOR and GBR have the same name on purpose.")]
pub struct DevPkiArgs {
    /// Folder to write to; nothing in it is overwritten
    dir: PathBuf,
    /// Days that everything is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Further DNS name or IP address of the server, besides `localhost`, `127.0.0.1` and `::1`
    #[arg(long, value_name = "NAME")]
    server_name: Vec<String>,
    /// Make certificates for these members instead of the usual ones; registrars are always made
    #[arg(long, value_name = "MEMBER")]
    member: Vec<MemberId>,
}

/// Runs the command.
pub(super) fn run(args: DevPkiArgs, context: &Context) -> Result<()> {
    let mut spec = Spec::usual(context.now(), args.days)?;
    spec.server_names.extend(args.server_name);
    if !args.member.is_empty() {
        spec.partners.iter_mut().for_each(|partner| partner.members.clear());
    }
    for member in args.member {
        let partner = spec.partners.iter_mut().find(|partner| partner.code == *member.partner());
        let partner = partner.ok_or_else(|| {
            CliError::usage(format!("`{member}` does not belong to a partner that is made"))
                .help("name members of USA, ISR, KOR, GBR or EU")
        })?;
        if member != partner.registrar && !partner.members.contains(&member) {
            partner.members.push(member);
        }
    }
    let pki = DevPki::generate(&spec, &*context.ambient.rng)?;
    pki.write(&args.dir)?;
    let (mut made, mut items) = (Vec::new(), Vec::new());
    for (code, partner) in &pki.partners {
        let fingerprint = partner.card.fingerprint().map_err(CliError::failed)?;
        let handles: Vec<&str> = partner.members.keys().map(MemberId::handle).collect();
        made.push((code.clone(), handles.join(" "), fingerprint));
        let card = args.dir.join(code.as_str()).join("card.json");
        items.push(json!({ "partner": code, "members": partner.members.keys().collect::<Vec<_>>(),
            "card": path_text(&card), "fingerprint": fingerprint }));
    }
    context.out.answer(&whole(&items), |screen| lines(screen, &made))?;
    context.out.note(&format!("written to {}; for development only", args.dir.display()));
    Ok(())
}

/// Each partner with its members' handles and the fingerprint of its card.
pub(super) fn lines(screen: &mut Screen, made: &[(PartnerCode, String, Sha256)]) {
    let mut table = Table::new(["PARTNER", "MEMBERS", "FINGERPRINT OF ITS CARD"]);
    for (code, handles, fingerprint) in made {
        table.row([code.to_string(), handles.clone(), fingerprint.to_string()]);
    }
    screen.table(&table, "nothing was made");
}
