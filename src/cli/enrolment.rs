//! What a registrar does by one file each way: invite, replace, move, and approve what comes back. Each command shows what it would do
//! before it does it, for twelve people as for one.

use super::{
    act::{DryRun, Question},
    card,
    context::{Context, joined},
    error::{CliError, Result, read_input},
    handover::{Earlier, path_text, require_new, write_file, write_text},
    join::read_request,
    key_card::instant_argument,
    output::Screen,
    prompt::Consent,
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        Client,
        approval::{Certification, CheckedRequest, KeyCardEdit, NewInvitation, RequestKind},
        joining::{handover_name, welcome_name},
    },
    domain::{id::MemberId, member::PartnerRole, name, text::counted},
};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// How long key cards and certificates are good if nothing else is said.
const A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["member", "file"]))]
pub struct Invite {
    /// The member to be, of your own partner
    #[arg(requires = "name", requires = "organisation")]
    member: Option<MemberId>,
    /// The person's or system's name
    #[arg(long)]
    name: Option<String>,
    /// Its organisation; conflicts of interest are found by it, so write it the same way every time
    #[arg(long)]
    organisation: Option<String>,
    /// Role in the partner itself: registrar, `policy_officer`, custodian, `program_officer` or relay
    #[arg(long)]
    role: Vec<PartnerRole>,
    /// Invite everybody in this table: CSV with the columns member, name, organisation and, where somebody has one, roles
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["name", "organisation", "role"])]
    file: Option<PathBuf>,
    /// Days until the invitation expires
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Folder for the invitation files
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// Only show whom it would invite
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
pub struct Replace {
    /// The member
    member: MemberId,
    /// Days until the invitation expires
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Folder for the invitation file
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["name", "organisation", "role", "no_role", "newest_key_alone"]))]
pub struct Move {
    /// The member
    member: MemberId,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another organisation
    #[arg(long)]
    organisation: Option<String>,
    /// A role in the partner from now on; may be given several times; then only these count
    #[arg(long)]
    role: Vec<PartnerRole>,
    /// No role in the partner any more
    #[arg(long, conflicts_with = "role")]
    no_role: bool,
    /// Name the newest of several keys alone, after a renewal
    #[arg(long)]
    newest_key_alone: bool,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("certification").required(true).args(["ca_certificate", "requests_to", "certificates"]))]
pub struct Approve {
    /// Request files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Certificate of your nation's authority, PEM, whose key is at hand
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca_certificate: Option<PathBuf>,
    /// Its private key, PEM; can be protected by a passphrase
    #[arg(long, value_name = "FILE", requires = "ca_certificate")]
    ca_key: Option<PathBuf>,
    /// Only check, and write the requests for certificates into this folder, for the national PKI
    #[arg(long, value_name = "DIR")]
    requests_to: Option<PathBuf>,
    /// Folder with the certificates that the national PKI signed, PEM
    #[arg(long, value_name = "DIR")]
    certificates: Option<PathBuf>,
    /// First instant past validity of key cards, and of certificates signed here [default: a year from now]
    #[arg(long, value_name = "INSTANT", value_parser = instant_argument)]
    valid_until: Option<Timestamp>,
    /// Take recipients of ssh keys and plugins, whose owner cannot show that they have the identity
    #[arg(long)]
    unproven: bool,
    /// Folder for the welcome files
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// `entente member invite`.
pub(super) async fn invite(args: Invite, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let expires_at = context.now() + SignedDuration::from_hours(24 * i64::from(args.days));
    let invited = match &args.file {
        Some(path) => people(&read_input(path, 1 << 20)?, expires_at).map_err(|fault| {
            CliError::usage(format!("`{}`: {fault}", path.display())).help("see `--help` for its columns")
        })?,
        None => vec![NewInvitation {
            member: args.member.ok_or_else(|| CliError::usage("name a member, or a table with `--file`"))?,
            name: args.name.unwrap_or_default(),
            organisation: args.organisation.unwrap_or_default(),
            roles: args.role.into_iter().collect(),
            expires_at,
        }],
    };
    let organisations: BTreeSet<(&str, &MemberId)> =
        invited.iter().map(|new| (new.organisation.as_str(), &new.member)).collect();
    let named: BTreeSet<&str> = organisations.iter().map(|(organisation, _)| *organisation).collect();
    let mut has_near = false;
    for (at, one) in named.iter().enumerate() {
        for other in named.iter().skip(at + 1).filter(|other| name::is_nearly_same(one, other)) {
            has_near = true;
            context.out.warn(&format!("`{other}` is nearly `{one}`; write both alike if they are the same one"));
        }
    }
    let mut compared = BTreeSet::new();
    for (organisation, member) in organisations {
        if compared.insert(organisation) {
            for near in client.near_organisations(organisation, member).await? {
                has_near = true;
                context.out.warn(&format!(
                    "`{}` of {} is nearly `{organisation}`; write it as the others do if it is the same one",
                    near.organisation,
                    joined(&near.partners)
                ));
            }
        }
    }
    let paths: Vec<PathBuf> =
        invited.iter().map(|new| args.to.join(handover_name("invitation", &new.member))).collect();
    if args.dry_run {
        return context.out.answer(&invited_json(&invited, &paths), |screen| invited_lines(screen, &invited, &paths));
    }
    if has_near {
        context.out.aside(|screen| invited_lines(screen, &invited, &paths));
        let what = format!(
            "{} under the name of an organisation that is nearly another",
            counted(invited.len(), "person is invited", "people are invited")
        );
        context.keyboard().agree(args.consent, &what).await?;
    }
    make_folder(&args.to)?;
    paths.iter().try_for_each(|path| require_new(path))?;
    let trust = client.trust_file().await?;
    let mut files = Vec::new();
    // All of them first, so that a fault in one leaves nothing half-written.
    for new in &invited {
        files.push(client.invite_member(new, &trust, false).await?);
    }
    for (file, path) in files.iter().zip(&paths) {
        write_file(path, file, Earlier::Stays)?;
    }
    context.out.answer(&invited_json(&invited, &paths), |screen| invited_lines(screen, &invited, &paths))?;
    if invited.iter().any(|new| new.roles.contains(&PartnerRole::Registrar)) {
        context.out.note(
            "the partner card names registrars by their keys: before you approve a registrar's request, the card has to name the key in it, \
             and `entente member approve` prints the command that adds it",
        );
    }
    context.out.note(
        "next: give each their file, by any way, and tell them the fingerprint of your nation's card by telephone, in person or on paper",
    );
    Ok(())
}

/// `entente member replace`.
pub(super) async fn replace(args: Replace, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let present = client.issued_member(&args.member).await?.card.clone();
    let new = NewInvitation {
        member: args.member,
        name: present.name,
        organisation: present.organisation,
        roles: present.roles,
        expires_at: context.now() + SignedDuration::from_hours(24 * i64::from(args.days)),
    };
    let path = args.to.join(handover_name("invitation", &new.member));
    let forecast = client.forecast_replacement(&new.member, new.expires_at).await?;
    // Nothing changes before the answer is approved, which asks.
    if !card::goes_ahead(context, &forecast, args.dry_run, Question::Never).await? {
        return Ok(());
    }
    let trust = client.trust_file().await?;
    let file = client.invite_member(&new, &trust, true).await?;
    make_folder(&args.to)?;
    write_file(&path, &file, Earlier::Stays)?;
    let (invited, paths) = ([new], [path]);
    context.out.answer(&invited_json(&invited, &paths), |screen| invited_lines(screen, &invited, &paths))?;
    context.out.note(
        "the keys in force stay until you approve the new ones; if somebody else may have the old ones, revoke them now: \
         `entente key-card revoke`",
    );
    Ok(())
}

/// `entente member move`.
pub(super) async fn move_member(args: Move, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let change = KeyCardEdit {
        name: args.name,
        organisation: args.organisation,
        roles: (args.no_role || !args.role.is_empty()).then(|| args.role.into_iter().collect()),
        newest_key_alone: args.newest_key_alone,
    };
    let (before, after) = client.plan_move(&args.member, &change).await?;
    if change.organisation.is_some() {
        for near in client.near_organisations(&after.organisation, &args.member).await? {
            context.out.warn(&format!(
                "`{}` of {} is nearly `{}`",
                near.organisation,
                joined(&near.partners),
                after.organisation
            ));
        }
    }
    let forecast = client.forecast_move(before.clone(), after.clone());
    if !card::goes_ahead(context, &forecast, args.dry_run, Question::Always(args.consent)).await? {
        return Ok(());
    }
    client.publish_move(&before, &after).await?;
    context.out.answer(&card::as_json(&forecast), |screen| screen.line("published"))?;
    context.out.note("a policy officer sees what it changes with `entente member preview`, before you do it");
    Ok(())
}

/// `entente member approve`.
pub(super) async fn approve(args: Approve, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let checked = check_all(&client, &args, context).await?;
    if let Some(folder) = &args.requests_to {
        return write_certificate_requests(&checked, folder, context);
    }
    let valid_until = args.valid_until.unwrap_or_else(|| context.now() + A_YEAR);
    if valid_until <= context.now() {
        return Err(CliError::usage(format!("{valid_until:.0} is past")).help("give a later `--valid-until`"));
    }
    let items: Vec<Value> = checked.iter().map(|request| request_json(request, valid_until)).collect();
    let zone = context.zone()?;
    let show = |screen: &mut Screen| checked.iter().for_each(|request| requested(screen, request, valid_until, &zone));
    if args.dry_run {
        return context.out.answer(&json!({ "items": items }), show);
    }
    let certification = certification(&args, context)?;
    make_folder(&args.to)?;
    let paths: Vec<PathBuf> = checked.iter().map(|request| args.to.join(welcome_name(&request.after.member))).collect();
    paths.iter().try_for_each(|path| require_new(path))?;
    context.out.aside(show);
    let published = checked.iter().filter(|request| request.kind != RequestKind::Done).count();
    let what = match published {
        0 => "no key card is published, and welcome files are made again".to_owned(),
        _ => format!("{} published", counted(published, "key card is", "key cards are")),
    };
    context.keyboard().agree(args.consent, &what).await?;
    let mut written = Vec::new();
    for (request, path) in checked.iter().zip(&paths) {
        let welcome = client.approve_request(request, &certification, valid_until).await.map_err(|error| {
            let error = CliError::from(error);
            let message = format!("{}: {}", request.after.member, error.message);
            let done = counted(written.len(), "request before it is done", "requests before it are done");
            CliError { message: format!("{message}; {done}"), ..error }
        })?;
        write_file(path, &welcome, Earlier::Stays)?;
        written.push(json!({ "member": request.after.member, "welcome": path_text(path) }));
    }
    context.out.answer(&json!({ "items": written }), |screen| {
        for path in &paths {
            screen.line(&path.display().to_string());
        }
    })?;
    context.out.note("next: give each their welcome file, by any way; members with keys wrap them again for new recipients, and agents do it by themselves");
    Ok(())
}

/// Checks all requests, and says of each what is wrong with it; nothing is done if there is any.
async fn check_all(client: &Client, args: &Approve, context: &Context) -> Result<Vec<CheckedRequest>> {
    let (mut checked, mut faults, mut members) = (Vec::new(), Vec::new(), BTreeSet::new());
    for path in &args.files {
        let found = match read_request(path) {
            Ok(file) => client.check_request(&file).await.map_err(CliError::from),
            Err(error) => Err(error),
        };
        match found {
            Ok(request) if !members.insert(request.after.member.clone()) => {
                faults.push((path, CliError::usage(format!("a second request of `{}`", request.after.member))));
            }
            Ok(request) => match double_fault(&checked, &request) {
                Some(fault) => faults.push((path, fault)),
                None => checked.push(request),
            },
            Err(error) => faults.push((path, error)),
        }
    }
    for request in &checked {
        for near in &request.near {
            context.out.warn(&format!(
                "`{}` of {} is nearly `{}` of {}",
                near.organisation,
                joined(&near.partners),
                request.after.organisation,
                request.after.member
            ));
        }
    }
    let unproven = checked.iter().filter(|request| !request.unproven.is_empty() && !args.unproven);
    let unproven: Vec<String> = unproven.map(|request| request.after.member.to_string()).collect();
    if !unproven.is_empty() {
        return Err(CliError::usage(format!(
            "nothing shows that these have the identities they name: {}",
            joined(&unproven)
        ))
        .help("ask them, then add `--unproven`; ssh keys and plugins cannot answer by themselves"));
    }
    let Some((_, first)) = faults.first() else { return Ok(checked) };
    let (exit, help) = (first.exit, first.help.clone().filter(|_| faults.len() == 1));
    // Each has its own way out.
    let helped = |error: &CliError| match &error.help {
        Some(help) if faults.len() > 1 => format!("{}; {help}", error.message),
        _ => error.message.clone(),
    };
    let lines: Vec<String> =
        faults.iter().map(|(path, error)| format!("`{}`: {}", path.display(), helped(error))).collect();
    Err(CliError { message: lines.join("\n"), exit, help, problem: None })
}

/// The fault of a request that names the key of an earlier one: it would be refused once the earlier one is done.
fn double_fault(checked: &[CheckedRequest], request: &CheckedRequest) -> Option<CliError> {
    checked.iter().find_map(|other| {
        let (what, member) = (request.shared_with(other)?, &other.after.member);
        let fault = CliError::usage(format!("the {what} is that of `{member}` in another of these requests"));
        Some(fault.help("ask each member for a key of their own"))
    })
}

fn certification(args: &Approve, context: &Context) -> Result<Certification> {
    if let (Some(certificate), Some(key)) = (&args.ca_certificate, &args.ca_key) {
        return Ok(Certification::of_authority(certificate, key, &context.keyboard())?);
    }
    let Some(folder) = &args.certificates else { return Err(CliError::usage("name where the certificates come from")) };
    let mut files = Vec::new();
    let entries = fs::read_dir(folder)
        .map_err(|error| CliError::failed(format!("cannot read `{}`: {error}", folder.display())))?;
    for entry in entries {
        let path = entry.map_err(CliError::failed)?.path();
        if path.is_file() {
            files.extend(
                String::from_utf8(read_input(&path, 1 << 20)?).ok().filter(|text| text.contains("BEGIN CERTIFICATE-")),
            );
        }
    }
    Ok(Certification::of_files(files)?)
}

fn write_certificate_requests(checked: &[CheckedRequest], folder: &Path, context: &Context) -> Result<()> {
    make_folder(folder)?;
    let mut written = Vec::new();
    for request in checked {
        let path = folder.join(handover_name("certificate", &request.after.member)).with_extension("csr");
        write_text(&path, &request.certificate_request, Earlier::IsReplaced)?;
        written.push(path_text(&path));
    }
    context.out.answer(&json!({ "items": written }), |screen| {
        for path in &written {
            screen.line(path);
        }
    })?;
    context.out.note(
        "next: have the national PKI sign them (docs/operations.md has a recipe for openssl), then run this again with \
         `--certificates DIR` instead of `--requests-to`",
    );
    Ok(())
}

/// The people of a table.
fn people(content: &[u8], expires_at: Timestamp) -> Result<Vec<NewInvitation>, String> {
    let mut people: Vec<NewInvitation> = Vec::new();
    let columns = ["member", "name", "organisation"];
    for row in super::rows::read(content, &columns, &["roles", "role"])? {
        let at = |fault: String| format!("line {}: {fault}", row.line);
        let roles = row.optional("roles").or(row.optional("role")).unwrap_or_default();
        let roles = roles.split([' ', '+', '/']).filter(|role| !role.is_empty());
        let member: MemberId = row.cell("member").parse().map_err(|error| at(format!("{error}")))?;
        if people.iter().any(|other| other.member == member) {
            return Err(at(format!("`{member}` has a line before this one")));
        }
        people.push(NewInvitation {
            member,
            name: row.cell("name").to_owned(),
            organisation: row.cell("organisation").to_owned(),
            roles: roles.map(str::parse).collect::<Result<_, _>>().map_err(|error| at(format!("{error}")))?,
            expires_at,
        });
    }
    if people.is_empty() { Err("it names nobody".to_owned()) } else { Ok(people) }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| CliError::failed(format!("cannot make `{}`: {error}", folder.display())))
}

/// Who is invited, and the file for each.
pub(super) fn invited_lines(screen: &mut Screen, invited: &[NewInvitation], paths: &[PathBuf]) {
    let mut table = Table::new(["MEMBER", "NAME", "ORGANISATION", "ROLES", "FILE"]);
    for (new, path) in invited.iter().zip(paths) {
        let (member, path) = (new.member.to_string(), path.display().to_string());
        table.row([&*member, &new.name, &new.organisation, &joined(&new.roles), &path]);
    }
    screen.table(&table, "nobody is invited");
}

fn invited_json(invited: &[NewInvitation], paths: &[PathBuf]) -> Value {
    let items = invited.iter().zip(paths).map(|(new, path)| {
        json!({ "member": new.member, "name": new.name, "organisation": new.organisation, "roles": new.roles,
                "invitation": path_text(path), "expires_at": new.expires_at })
    });
    json!({ "items": items.collect::<Vec<_>>() })
}

/// What a request asks for, before and after.
fn requested(screen: &mut Screen, request: &CheckedRequest, valid_until: Timestamp, zone: &Zone) {
    let kind = match request.kind {
        RequestKind::New => "new",
        RequestKind::Replacement => "other keys, in place of those of the present card",
        RequestKind::Renewal => "another key beside the one in force",
        RequestKind::Done => "done before; only the welcome is made again",
    };
    screen.heading(&format!("{}: {kind}", request.after.member));
    card::fields(screen, request.before.as_ref(), &request.after);
    let mut more = Vec::new();
    if request.kind != RequestKind::Done {
        more.push(("valid until", format!("{}, or the end of the certificate", zone.both(valid_until))));
    }
    more.extend(request.invited_at.map(|at| ("invited", zone.both(at))));
    if !request.unproven.is_empty() {
        more.push(("unproven", request.unproven.join("\n")));
    }
    screen.fields(&more);
}

fn request_json(request: &CheckedRequest, valid_until: Timestamp) -> Value {
    let kind = match request.kind {
        RequestKind::New => "new",
        RequestKind::Replacement => "replacement",
        RequestKind::Renewal => "renewal",
        RequestKind::Done => "done",
    };
    let mut after = request.after.clone();
    if request.kind != RequestKind::Done {
        after.valid_until = valid_until;
    }
    json!({ "kind": kind, "member": after.member, "before": request.before, "after": after,
            "invited_at": request.invited_at, "unproven": request.unproven })
}
