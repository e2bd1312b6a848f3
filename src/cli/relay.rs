//! `entente relay run`: the relay as a process. One line for each member on standard output, one JSON object with `--json`.

use super::{
    context::Context,
    error::{CliError, Exit, Result},
    rounds::{Rounds, connector, interval_argument},
    rows,
};
use crate::{
    client::{
        self, Client,
        relay::{
            Hook, Mailer, Relay, RelayEvent, RelayPlan, RelayState, RelayTally, SmtpServer, Teller,
            contacts::{ContactRow, Contacts},
            schedule::Habit,
        },
    },
    domain::{id::PartnerCode, text::counted},
};
use clap::{Args, Subcommand};
use jiff::civil::Time;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The longest list of addresses, in bytes.
const MAX_LIST: u64 = 8 << 20;

/// Tell your nation's members that something waits for them
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Mail members, or call a program, when something waits for them: once a day, and as what is due comes near
    #[command(after_help = "Examples:
  entente relay run --addresses members.csv --smtp smtps://mail.example.org \\
      --from relay@example.org --smtp-credentials mail.secret
  entente relay run --addresses members.csv --hook /usr/local/lib/tell-member
  entente relay run --addresses members.csv \\
      --hook /usr/local/lib/tell-member --dry-run
  entente relay run --hook /usr/local/lib/tell-member --once   for cron

It acts as a member with the role `relay`, which may ask how much waits for whom. Beside that it reads what every member \
reads (the directory, the policies in force and the log that is for all) and may do nothing else. It says one sentence: how many \
items wait, when the next is due, and to open the client. The list is a table with the columns `handle`, `address` and, if you \
like, `zone`. A program gets one line of JSON: `member`, `items` and `next_due_at`. docs/relay.md says how to set it \
up.")]
    Run(RelayArgs),
}

#[derive(Debug, Args)]
pub struct RelayArgs {
    /// The table of your nation's members: `handle`, `address` and, if you like, `zone`
    #[arg(long, value_name = "FILE", required_unless_present = "hook")]
    addresses: Option<PathBuf>,
    /// Send mail by this server: `smtps://HOST` (TLS), `smtp://HOST` (STARTTLS) or, on this machine, `smtp+plain://127.0.0.1`
    #[arg(long, value_name = "SERVER", requires = "from", required_unless_present = "hook", conflicts_with = "hook")]
    smtp: Option<SmtpServer>,
    /// The address that mail comes from
    #[arg(long, value_name = "ADDRESS", requires = "smtp")]
    from: Option<String>,
    /// File with the account at the server of mail in its first line and the password in its second
    #[arg(long, value_name = "FILE", requires = "smtp")]
    smtp_credentials: Option<PathBuf>,
    /// File with the authority of that server's certificate, PEM [default: those that this machine trusts]
    #[arg(long, value_name = "FILE", requires = "smtp")]
    smtp_ca: Option<PathBuf>,
    /// Call this program for each member in place of sending mail
    #[arg(long, value_name = "PROGRAM")]
    hook: Option<PathBuf>,
    /// Tell what waits from this time of the day on, where the member is
    #[arg(long, value_name = "TIME", default_value = "08:00", value_parser = time_of_day)]
    at: Time,
    /// Look this often, such as `5m`
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval_argument)]
    every: Duration,
    /// Remember in this file who was told what [default: relay.json in your folder]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Look once and end
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// Show whom it would tell now, and tell nobody
    #[arg(long, conflicts_with_all = ["every", "once"])]
    dry_run: bool,
}

/// Runs the command.
pub(super) async fn run(command: RelayCommand, context: &Context) -> Result<()> {
    let RelayCommand::Run(args) = command;
    let keyboard = context.keyboard().remembering();
    // What is wrong with the set-up is said with its own exit code.
    let client = context.client_asking(keyboard.clone()).await?;
    let plan = plan(&args, client.member_id().await?.partner(), context)?;
    let path = args.state.clone().unwrap_or_else(|| client.home().root().join("relay.json"));
    drop(client);
    let (connect, ambient) = (connector(context, &keyboard), context.ambient.clone());
    if args.dry_run {
        return rehearse(&Relay::new(connect, plan, RelayState::peek(&path)?, ambient), context).await;
    }
    let (state, warning) = RelayState::open(&path)?;
    if let Some(warning) = warning {
        context.out.warn(&warning);
    }
    keyboard.asks_for_no_more_files();
    let mut relay = Relay::new(connect, plan, state, ambient);
    let rounds = Rounds { name: "relay", every: args.every, is_single: args.once };
    rounds.run(context, async |is_stopped, report| relay.round(is_stopped, report).await, line, finished).await
}

/// Shows whom a round would tell now.
async fn rehearse(relay: &Relay<impl Fn() -> client::Result<Client>>, context: &Context) -> Result<()> {
    let mut broken = None;
    let tally = relay.rehearse(&mut |event| broken = broken.take().or(line(context, event).err())).await?;
    if let Some(error) = broken {
        return Err(error);
    }
    context.out.note(&format!("{} would be told now", counted(tally.told as u64, "member", "members")));
    Ok(())
}

/// Whom to tell, when and how.
fn plan(args: &RelayArgs, partner: &PartnerCode, context: &Context) -> Result<RelayPlan> {
    let contacts = match &args.addresses {
        Some(path) => contacts(path, partner)?,
        None => Contacts::default(),
    };
    let teller = match (&args.smtp, &args.from, &args.hook) {
        (Some(server), Some(from), None) => {
            let (credentials, authority) = (args.smtp_credentials.as_deref(), args.smtp_ca.as_deref());
            Teller::Mail(Box::new(Mailer::new(server, from, credentials, authority)?))
        }
        (_, _, Some(program)) => Teller::Hook(Hook::new(program.clone())),
        _ => {
            return Err(
                CliError::usage("nothing says how to tell members").help("give `--smtp` and `--from`, or `--hook`")
            );
        }
    };
    let habit = Habit { digest_at: args.at, zone: context.zone()?.time_zone() };
    Ok(RelayPlan { partner: partner.clone(), contacts, habit, teller })
}

fn contacts(path: &Path, partner: &PartnerCode) -> Result<Contacts> {
    let refuse = |fault: &str| {
        CliError::usage(format!("`{}`: {fault}", path.display())).help("correct the table and start the relay again")
    };
    let unreadable = |error: std::io::Error| {
        CliError::failed(format!("cannot read `{}`: {error}", path.display())).help("check `--addresses`")
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_LIST {
        return Err(refuse("it is longer than 8 MiB"));
    }
    let content = fs::read(path).map_err(unreadable)?;
    let rows = rows::read(&content, &["handle", "address"], &["zone"]).map_err(|fault| refuse(&fault))?;
    let rows = rows.iter().map(|row| ContactRow {
        line: row.line,
        handle: row.cell("handle"),
        address: row.cell("address"),
        zone: row.cell("zone"),
    });
    Contacts::of(partner, rows).map_err(|faults| refuse(&faults.join("; ")))
}

/// Exit code 3 if somebody could not be told, as a script wants to know.
fn finished(RelayTally { told, not_told }: RelayTally) -> Result<()> {
    if not_told == 0 {
        return Ok(());
    }
    let (left, told) = (counted(not_told, "member", "members"), counted(told, "was", "were"));
    let message = format!("{left} could not be told; {told}");
    Err(CliError { exit: Exit::Refused, ..CliError::failed(message) }.help("the lines above say why"))
}

/// One member on one line.
fn line(context: &Context, event: &RelayEvent) -> Result<()> {
    context.out.answer(&context.stamped(event)?, |screen| {
        let RelayEvent { act, member, sentence, reason, .. } = event;
        let reason = reason.as_ref().map(|reason| format!(" reason={reason:?}")).unwrap_or_default();
        screen.line(&format!("{} {} member={member} said={sentence:?}{reason}", context.now(), act.as_str()));
    })
}

fn time_of_day(text: &str) -> Result<Time, String> {
    let wrong = || "write a time of the day such as `08:00`".to_owned();
    if text.len() != 5 || !text.is_ascii() {
        return Err(wrong());
    }
    Time::strptime("%H:%M", text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hour_of_the_day_is_read_in_one_form() {
        assert_eq!(time_of_day("08:30").unwrap(), Time::constant(8, 30, 0, 0));
        for wrong in ["8:30", "25:00", "08:30:00", "noon", ""] {
            assert!(time_of_day(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn list_of_addresses_is_refused_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("members.csv");
        let partner = "ISR".parse().unwrap();
        fs::write(&path, "handle;address;zone\navi;avi@example.org;Asia/Jerusalem\ngal;gal@example.org;\n").unwrap();
        assert_eq!(contacts(&path, &partner).unwrap().len(), 2);
        fs::write(&path, "handle,address\navi,nobody\n\nUSA:bob,bob@example.org\n").unwrap();
        let refused = contacts(&path, &partner).unwrap_err().message;
        assert!(refused.contains("line 2: `nobody`") && refused.contains("line 4: `USA:bob`"), "{refused}");
    }
}
