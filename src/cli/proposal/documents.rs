//! Documents of a proposal: putting them in sealed, opening them once verified.

use super::{VersionArg, place, tables};
use crate::{
    cli::{
        cell::size,
        context::{Context, joined},
        error::{CliError, Exit, Result},
        handover::path_text,
        output::{Screen, Style},
    },
    client::{
        Client, ClientError, cases,
        naming::{CallName, ProposalName},
        opening::OpenedDocument,
        records::UploadRecord,
        verified::{VerifiedManifest, VersionChoice},
    },
    domain::{
        id::{PartnerCode, ProposalId, Slug},
        text::counted,
    },
    wire::proposal::Document,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

#[derive(Debug, Args)]
pub struct Open {
    /// The proposal
    #[arg(required_unless_present = "assigned", conflicts_with = "assigned")]
    proposal: Option<ProposalName>,
    /// The slot [default: every document you may read]
    #[arg(conflicts_with = "assigned")]
    slot: Option<Slug>,
    /// Folder, new file, or `-` for standard output that is not a terminal
    #[arg(long, short, value_name = "PATH", required_unless_present = "assigned", conflicts_with = "assigned")]
    output: Option<PathBuf>,
    /// Every proposal of this call that you have to review, each into a folder of its own
    #[arg(long, value_name = "CALL", conflicts_with_all = ["party", "sealed", "version"])]
    assigned: Option<CallName>,
    /// Where these folders are made [default: here]
    #[arg(long, value_name = "DIR", requires = "assigned")]
    into: Option<PathBuf>,
    /// Whose document, for a slot that each party has
    #[arg(long)]
    party: Option<PartnerCode>,
    /// Leave it sealed: the ciphertext, verified
    #[arg(long)]
    sealed: bool,
    #[command(flatten)]
    version: VersionArg,
}

#[derive(Debug, Args)]
pub struct Put {
    /// The proposal
    proposal: ProposalName,
    /// The slot, as the call names it, and the document to put there; further slots and documents may follow
    #[arg(required = true, num_args = 2.., value_names = ["SLOT", "FILE"])]
    places: Vec<OsString>,
    /// What kind of file it is, with one document alone [default: from its name and first bytes]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    /// Put it although it breaks off, is encrypted, has macros or is another kind of archive
    #[arg(long)]
    as_is: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The proposal
    proposal: ProposalName,
    /// Fetch the ciphertexts and check their digests as well
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    version: VersionArg,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// Of this proposal only
    proposal: Option<ProposalName>,
    /// Only list them
    #[arg(long)]
    list: bool,
    /// Forget them instead; your original files stay, and so do uploads of a signed version that can still be sent
    #[arg(long, conflicts_with = "list")]
    discard: bool,
}

/// A document to open.
struct Target {
    slot: Slug,
    party: Option<PartnerCode>,
    media_type: String,
}

impl Put {
    /// Each slot with its document.
    fn places(&self) -> Result<Vec<(Slug, PathBuf)>> {
        let usage = |message: String| CliError::usage(message).help("see `entente proposal put --help`");
        let mut places: Vec<(Slug, PathBuf)> = Vec::new();
        for place in self.places.chunks(2) {
            let name = place[0].to_string_lossy();
            let slot: Slug = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
            let [_, file] = place else { return Err(usage(format!("no document follows the slot `{slot}`"))) };
            if places.iter().any(|(earlier, _)| *earlier == slot) {
                return Err(usage(format!("the slot `{slot}` is named twice")));
            }
            places.push((slot, file.into()));
        }
        if places.len() > 1 && self.media_type.is_some() {
            return Err(usage("`--media-type` is about one document, and there are several".to_owned()));
        }
        Ok(places)
    }
}

/// Looks at documents and puts them in, one after the other.
pub(super) async fn put(context: &Context, client: &Client, args: &Put) -> Result<()> {
    let places = args.places()?;
    let proposal = client.find_proposal(&args.proposal).await?.id;
    look_at(context, client, args, &places, proposal).await?;
    let mut documents = Vec::with_capacity(places.len());
    for (slot, file) in &places {
        match put_one(context, client, args, (slot, file), proposal).await {
            Ok(document) => documents.push(document),
            Err(error) if documents.is_empty() => return Err(error),
            Err(error) => {
                documents.iter().try_for_each(|document| stored(context, document))?;
                return Err(CliError { message: format!("{slot}: {}", error.message), ..error });
            }
        }
    }
    match &documents[..] {
        [document] => stored(context, document),
        documents => context.out.answer(&json!({ "items": documents }), |screen| {
            for document in documents {
                stored_fields(screen, document);
                screen.gap();
            }
        }),
    }
}

async fn put_one(
    context: &Context,
    client: &Client,
    args: &Put,
    (slot, file): (&Slug, &Path),
    proposal: ProposalId,
) -> Result<Document> {
    let meter = context.meter(file.file_name().unwrap_or_default().to_string_lossy());
    let earlier = unsent(client, proposal, slot)?;
    let document = client.put_document(proposal, slot, file, args.media_type.as_deref(), meter).await;
    let document = document.map_err(interrupted)?;
    if earlier.iter().any(|earlier| earlier.sha256 == document.sha256) {
        context.out.note("an interrupted upload was taken up again; the file was not sealed again");
    }
    note_signed(context, client, &earlier, &document)?;
    Ok(document)
}

/// Refuses files that those who review them could not open, unless they are meant as they are. Nothing is sealed before all were looked at.
async fn look_at(
    context: &Context,
    client: &Client,
    args: &Put,
    places: &[(Slug, PathBuf)],
    proposal: ProposalId,
) -> Result<()> {
    let mut sentences = Vec::new();
    for (slot, file) in places {
        let faults = client.inspect_document(proposal, slot, file, args.media_type.as_deref()).await?;
        sentences.extend(faults.into_iter().map(|fault| format!("`{}` {}", file.display(), fault.sentence())));
    }
    if sentences.is_empty() {
        return Ok(());
    }
    if args.as_is {
        for sentence in &sentences {
            context.out.warn(sentence);
        }
        return Ok(());
    }
    Err(CliError::usage(format!("{}; nothing was sealed", sentences.join("; ")))
        .help("open it once, save it again without that, and put it then; `--as-is` puts it as it is"))
}

/// What was sealed for a slot and not sent.
pub(super) fn unsent(client: &Client, proposal: ProposalId, slot: &Slug) -> Result<Vec<UploadRecord>> {
    let mut records = client.interrupted_uploads()?;
    records.retain(|record| record.proposal == proposal && record.slot == *slot && record.is_unsent());
    Ok(records)
}

/// Says what became of files that were signed for and not sent when another was put into their slot.
pub(super) fn note_signed(
    context: &Context,
    client: &Client,
    earlier: &[UploadRecord],
    document: &Document,
) -> Result<()> {
    let still = client.interrupted_uploads()?;
    let signed = earlier.iter().filter(|record| !record.signed_versions.is_empty() && record.sha256 != document.sha256);
    for record in signed {
        let versions = joined(&record.signed_versions);
        if still.iter().any(|other| other.idempotency_key == record.idempotency_key) {
            let rest = "is not with the exchange yet and stays here; `entente proposal resume` sends it";
            context.out.warn(&format!("the file that was signed in version {versions} {rest}"));
        } else {
            context.out.note(&format!("the file that was signed in version {versions} was sent first"));
        }
    }
    Ok(())
}

/// Sends again what interrupted uploads left.
pub(super) async fn resume(context: &Context, client: &Client, args: &Resume) -> Result<()> {
    let mut records = client.interrupted_uploads()?;
    if let Some(name) = &args.proposal {
        let proposal = client.find_proposal(name).await?.id;
        records.retain(|record| record.proposal == proposal);
    }
    if args.list {
        let titles = client.kept_titles(&records.iter().map(|record| record.proposal).collect()).await;
        return context.out.answer(&json!({ "items": records }), |screen| {
            tables::interrupted(screen, &records, &titles);
        });
    }
    if args.discard {
        return discard(context, client, &records).await;
    }
    if records.is_empty() {
        return context.out.done("no upload was interrupted");
    }
    let mut failures = Vec::new();
    for record in &records {
        let what = place(&record.slot, record.party.as_ref());
        if client.is_replaced(record).await? {
            let why = "something newer was sealed for the slot, so it is not sent";
            context.out.note(&format!("{what} of {}: {why}", record.name()));
            continue;
        }
        let takes_slot_back = client.takes_slot_back(record)?;
        match client.resume_upload(record, context.meter(&what)).await {
            Ok(document) => {
                stored(context, &document)?;
                if takes_slot_back {
                    let rest = "was signed for and is in its slot again, in place of what was put there later";
                    let help = "put that again if the next version is to have it";
                    context.out.warn(&format!("{what} of {} {rest}: {help}", record.name()));
                }
            }
            Err(error) => failures.push(report_failure(context, &what, record, interrupted(error))),
        }
    }
    ended(&failures, records.len(), "could not be sent")
}

/// Forgets what was left, as far as nobody needs it.
async fn discard(context: &Context, client: &Client, records: &[UploadRecord]) -> Result<()> {
    let mut failures = Vec::new();
    for record in records {
        let what = place(&record.slot, record.party.as_ref());
        if let Err(error) = client.discard_upload(record).await {
            failures.push(report_failure(context, &what, record, error.into()));
        }
    }
    let forgotten = records.len() - failures.len();
    let forgotten = counted(forgotten, "interrupted upload is", "interrupted uploads are");
    context.out.done(&format!("{forgotten} forgotten"))?;
    ended(&failures, records.len(), "were kept")
}

/// Says what became of one of several, and how bad it is.
fn report_failure(context: &Context, what: &str, record: &UploadRecord, error: CliError) -> Exit {
    let error = CliError { message: format!("{what} of {}: {}", record.name(), error.message), ..error };
    if context.out.is_json() {
        // The problem that follows is the exchange's, which does not say which upload it was about.
        let UploadRecord { proposal, slot, party, .. } = record;
        context.out.stderr_json(&json!({ "upload": { "proposal": proposal, "slot": slot, "party": party } }));
    }
    error.print(&context.out);
    error.exit
}

/// The end of several acts: the code of those that failed if it is the same for all.
fn ended(failures: &[Exit], of: usize, what: &str) -> Result<()> {
    let Some(first) = failures.first() else { return Ok(()) };
    let exit = if failures.iter().all(|exit| exit == first) { *first } else { Exit::Failed };
    let uploads = counted(of, "interrupted upload", "interrupted uploads");
    let message = format!("{} of {uploads} {what}", failures.len());
    Err(CliError { exit, ..CliError::failed(message) }.help("the lines above say why"))
}

/// Opens one document or all, or everything that is assigned.
pub(super) async fn open(context: &Context, client: &Client, args: &Open) -> Result<()> {
    if let Some(call) = &args.assigned {
        return super::cases::open(context, client, call, args.into.as_deref().unwrap_or(Path::new("."))).await;
    }
    let (Some(proposal), Some(output)) = (&args.proposal, &args.output) else {
        return Err(CliError::usage("name a proposal, and where it goes with `--output`"));
    };
    let to_stdout = output.as_os_str() == "-";
    if to_stdout && context.out.is_at_terminal() {
        // What another nation wrote could steer it.
        let error = CliError::usage("a document is not written to a terminal");
        return Err(error.help("name a file with `-o FILE`, or send it on with `|` or `>`"));
    }
    let id = client.find_proposal(proposal).await?.id;
    let all = targets(client, args, id).await?;
    if args.slot.is_none() {
        if to_stdout {
            return Err(
                CliError::usage("several documents cannot go to standard output").help("name a slot or a folder")
            );
        }
        return open_all(context, client, args, id, (&all, output)).await;
    }
    let target = only(&all, args)?;
    if to_stdout {
        let (slot, party, stdout) = (&target.slot, target.party.as_ref(), std::io::stdout());
        let meter = context.meter(place(slot, party));
        let version = args.version.version;
        if args.sealed {
            client.download_document_to(id, slot, party, version, stdout, meter).await?;
        } else {
            client.open_document_to(id, slot, party, version, stdout, meter).await?;
        }
        return Ok(());
    }
    let path = if output.is_dir() || ends_in_separator(output) {
        std::fs::create_dir_all(output)?;
        output.join(file_name(target, args.sealed))
    } else {
        output.clone()
    };
    let opened = open_one(context, client, args, (id, target), &path).await?;
    let answer = opened_json(&opened, &path);
    context.out.answer(&answer, |screen| tables::opened(screen, &[(opened, path)]))
}

/// Verifies a version.
pub(super) async fn verify(context: &Context, client: &Client, args: &VerifyArgs) -> Result<()> {
    let proposal = client.find_proposal(&args.proposal).await?.id;
    let verified = client.manifest(proposal, args.version.version).await?;
    let mut not_shown = Vec::new();
    if args.fetch {
        for document in &verified.manifest.documents {
            let (slot, party) = (&document.slot, document.party.as_ref());
            let meter = context.meter(place(slot, party));
            match client.check_document(proposal, slot, party, args.version.version, meter).await {
                Ok(_) => {}
                Err(error) if party.is_some() && error.is_withheld() => {
                    context.out.warn(&format!("{}: not fetched: {error}", place(slot, party)));
                    not_shown.push(place(slot, party));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let VerifiedManifest { manifest, sha256, signed_by, is_standing, .. } = &verified;
    let answer = json!({
        "verified": true, "is_standing": is_standing, "manifest_sha256": sha256, "signed_by": signed_by,
        "manifest": manifest, "ciphertexts_checked": args.fetch && not_shown.is_empty(), "not_fetched": not_shown,
    });
    context.out.answer(&answer, |screen| {
        tables::manifest(screen, &verified);
        screen.gap();
        let what = match (args.fetch, not_shown.is_empty()) {
            (false, _) => "signatures and manifest".to_owned(),
            (true, true) => "signatures, manifest and bytes".to_owned(),
            (true, false) => format!("signatures, manifest and all bytes but those of {}", not_shown.join(", ")),
        };
        screen.styled(&[(Style::Green, "verified  "), (Style::Plain, &what)]);
    })
}

async fn targets(client: &Client, args: &Open, id: ProposalId) -> Result<Vec<Target>> {
    if args.version.version == VersionChoice::Working {
        let documents = client.api().documents(id).await?;
        let target = |Document { slot, party, media_type, .. }| Target { slot, party, media_type };
        return Ok(documents.into_iter().map(target).collect());
    }
    let verified = client.manifest(id, args.version.version).await?;
    let documents = verified.manifest.documents.into_iter();
    Ok(documents
        .map(|document| Target { slot: document.slot, party: document.party, media_type: document.media_type })
        .collect())
}

/// The one document that the slot, and the party if one is named, mean.
fn only<'a>(all: &'a [Target], args: &Open) -> Result<&'a Target> {
    let wanted = |target: &&Target| {
        args.slot.as_ref().is_none_or(|slot| target.slot == *slot)
            && (args.party.is_none() || target.party == args.party)
    };
    let found: Vec<&Target> = all.iter().filter(wanted).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let held: Vec<String> = all.iter().map(|target| place(&target.slot, target.party.as_ref())).collect();
            let error = CliError::failed("there is no such document in this version");
            Err(error.help(format!("it has {}", held.join(", "))))
        }
        _ => Err(CliError::usage("each party has one in this slot").help("name whose with `--party`")),
    }
}

async fn open_one(
    context: &Context,
    client: &Client,
    args: &Open,
    (id, target): (ProposalId, &Target),
    path: &Path,
) -> Result<OpenedDocument, ClientError> {
    let Target { slot, party, .. } = target;
    let (version, meter) = (args.version.version, context.meter(place(slot, party.as_ref())));
    if args.sealed {
        client.download_document(id, slot, party.as_ref(), version, path, meter).await
    } else {
        client.open_document(id, slot, party.as_ref(), version, path, meter).await
    }
}

async fn open_all(
    context: &Context,
    client: &Client,
    args: &Open,
    id: ProposalId,
    (all, output): (&[Target], &Path),
) -> Result<()> {
    std::fs::create_dir_all(output)?;
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    for target in all.iter().filter(|target| args.party.is_none() || target.party == args.party) {
        let path = output.join(file_name(target, args.sealed));
        match open_one(context, client, args, (id, target), &path).await {
            Ok(document) => opened.push((document, path)),
            Err(error) if target.party.is_some() && error.is_withheld() => {
                closed.push((place(&target.slot, target.party.as_ref()), error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let answer = json!({
        "items": opened.iter().map(|(document, path)| opened_json(document, path)).collect::<Vec<_>>(),
        "closed": closed.iter().map(|(slot, why)| json!({ "slot": slot, "why": why })).collect::<Vec<_>>(),
    });
    context.out.answer(&answer, |screen| {
        tables::opened(screen, &opened);
        for (slot, why) in &closed {
            screen.styled(&[(Style::Dim, &format!("{slot} is not for you: {why}"))]);
        }
    })
}

pub(super) fn stored(context: &Context, document: &Document) -> Result<()> {
    context.out.answer(document, |screen| stored_fields(screen, document))
}

fn stored_fields(screen: &mut Screen, document: &Document) {
    screen.fields(&[
        ("slot", place(&document.slot, document.party.as_ref())),
        ("document", document.id.to_string()),
        ("media type", document.media_type.clone()),
        ("sealed size", size(document.size)),
        ("sha-256", document.sha256.to_string()),
    ]);
}

/// What to do after an interruption: sealing a large file twice is what people fear.
pub(super) fn interrupted(error: ClientError) -> CliError {
    let is_broken = matches!(error, ClientError::Transport { .. });
    let error = CliError::from(error);
    if is_broken { error.help("run the same command again; sealing is not repeated") } else { error }
}

fn opened_json(opened: &OpenedDocument, path: &Path) -> Value {
    json!({ "document": opened.document, "size": opened.size, "signed_by": opened.signed_by, "file": path_text(path) })
}

/// The name of a document in a folder.
fn file_name(target: &Target, sealed: bool) -> String {
    let name = cases::file_name(&target.slot, target.party.as_ref(), &target.media_type);
    if sealed { format!("{name}.age") } else { name }
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(std::path::is_separator)
}
