//! The command line: nouns, then verbs. Reads arguments, calls the client, prints what came of it.
//!
//! Decides nothing about trust, policy or procedure: those answers come from [`client`](crate::client) and the exchange.
//! Secrets are never arguments. Exit codes are those of [`Exit`](error::Exit); a signal ends with 128 and its number.

mod act;
#[cfg(test)]
mod acts;
mod agent;
mod api;
mod assignment;
mod bidi;
mod call;
mod card;
mod cell;
mod conflict;
mod console;
mod context;
mod decision;
mod directory;
mod dossier;
mod enrolment;
pub mod error;
mod form_faults;
mod handover;
mod input;
mod join;
mod key;
mod key_card;
mod keys;
mod letter;
mod log;
mod member;
mod open;
pub mod output;
mod partner_card;
mod partner_status;
mod pki;
mod policy;
mod preview;
mod profile;
mod program;
mod progress;
mod prompt;
mod proposal;
mod ranking;
mod relay;
mod review;
mod rounds;
mod rows;
#[cfg(test)]
mod samples;
mod signals;
mod table;
mod tabular;
mod time;
mod titles;
mod todo;
mod trust;
mod unlock;
mod verify;

pub use context::{Context, Global};

use crate::{client::unfinished, demo, platform, process, reading};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use error::{CliError, Result};
use output::Out;
use std::{
    error::Error as _,
    io::{self, Write},
    pin::pin,
    process::ExitCode,
};

/// Exchange research proposals between nations, sealed on the way and at rest
#[derive(Debug, Parser)]
#[command(
    name = "entente",
    version = process::version(),
    arg_required_else_help = true,
    max_term_width = 80,
    after_help = "Begin with the invitation of your registrar, `entente join --help`, or see it all with `entente demo`.

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused by the exchange, 4 something did not verify, 5 not reached."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    Join(join::JoinArgs),
    Unlock(unlock::UnlockArgs),
    /// Forget the keys that `entente unlock` holds, at once
    #[command(after_help = "Examples:\n  entente lock\n  entente --profile registrar lock")]
    Lock,
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Show which member your certificate belongs to
    #[command(after_help = "Examples:\n  entente me\n  entente --profile registrar me")]
    Me,
    Todo(todo::TodoArgs),
    Console(console::ConsoleArgs),
    #[command(subcommand)]
    Partner(directory::PartnerCommand),
    #[command(subcommand)]
    Member(member::MemberCommand),
    #[command(subcommand)]
    KeyCard(key_card::KeyCardCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Program(program::ProgramCommand),
    #[command(subcommand)]
    Call(call::CallCommand),
    #[command(subcommand)]
    Proposal(proposal::ProposalCommand),
    #[command(subcommand)]
    Conflict(conflict::ConflictCommand),
    #[command(subcommand)]
    Assignment(assignment::AssignmentCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    #[command(subcommand)]
    Relay(relay::RelayCommand),
    #[command(subcommand)]
    Review(review::ReviewCommand),
    #[command(subcommand)]
    Ranking(ranking::RankingCommand),
    #[command(subcommand)]
    Decision(decision::DecisionCommand),
    #[command(subcommand)]
    Letter(letter::LetterCommand),
    /// Show what happened, as far as you may know
    Log(log::LogArgs),
    Dossier(dossier::DossierArgs),
    #[command(subcommand)]
    Verify(verify::VerifyCommand),
    Api(api::ApiArgs),
    Open(open::OpenArgs),
    /// Run a whole cycle between five partners on this machine
    Demo(demo::Args),
    /// Make a development PKI
    DevPki(pki::DevPkiArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  entente completions bash > ~/.local/share/bash-completion/completions/entente
  entente completions zsh > ~/.zfunc/_entente
  entente completions fish > ~/.config/fish/completions/entente.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Runs the process's command line to its end.
pub fn main() -> ExitCode {
    platform::with_stack(command_line)
}

fn command_line() -> ExitCode {
    let (cli, path) = match parsed() {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let out = Out::new(cli.global.json, cli.global.quiet).with_ids(cli.global.ids).with_csv(cli.global.csv);
    let context = Context::new(out, cli.global);
    if let Err(error) = tabular::check(&path, &context) {
        return finish(Err(error), &context);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(CliError::failed(format!("cannot start: {error}"))), &context),
    };
    // The demo, the agent, the relay, the console and what holds keys wait for the interruption themselves: it is their ordinary end.
    let ends_itself = match &cli.command {
        Command::Demo(_) | Command::Agent(_) | Command::Relay(_) | Command::Console(_) => true,
        Command::Unlock(args) => args.holds(),
        _ => false,
    };
    let is_follower = matches!(&cli.command, Command::Log(args) if args.is_endless());
    if !matches!(&cli.command, Command::Unlock(args) if args.is_started()) {
        signals::sweep(&context);
    }
    let done = runtime.block_on(async {
        let run = async {
            let done = Box::pin(run(cli.command, &context)).await;
            // What the command itself ended with comes first.
            let last_words = context.last_words().await;
            done.and(last_words)
        };
        if ends_itself {
            return Ok(run.await);
        }
        let mut run = pin!(run);
        let ending = match signals::ending_signal() {
            Ok(ending) => ending,
            Err(error) => return Ok(Err(error)),
        };
        tokio::select! {
            done = &mut run => Ok(done),
            // While the work is there: dropped, it removes by itself what it has begun, and nobody says so.
            signal = ending => Err((signal, unfinished::abandon())),
        }
    });
    // A thread that waits for a passphrase or for the disk must not hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(done) => finish(done, &context),
        // What it met was said as it went on.
        Err((signals::Signal::Interrupt, _)) if is_follower && !context.has_gone_back() => ExitCode::SUCCESS,
        Err((signals::Signal::Interrupt, _)) if is_follower => ExitCode::from(error::Exit::Unverified.code()),
        Err((signal, abandoned)) => {
            signals::end(&context, &abandoned);
            ExitCode::from(signal.code())
        }
    }
}

/// The command line as it was understood, with the words of its command.
fn parsed() -> Result<(Cli, String), clap::Error> {
    let mut matches = Cli::command().try_get_matches()?;
    let (mut path, mut below) = (Vec::new(), &matches);
    while let Some((name, further)) = below.subcommand() {
        path.push(name.to_owned());
        below = further;
    }
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Cli::command()))?;
    Ok((cli, path.join(" ")))
}

/// Runs one command.
pub async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Keys(command) => keys::run(command, context),
        // A person may be asked for a passphrase, and an interruption is heard meanwhile.
        Command::Profile(command) => {
            let context = context.clone();
            tokio::task::spawn_blocking(move || profile::run(command, &context)).await.map_err(CliError::failed)?
        }
        Command::Join(args) => join::run(args, context).await,
        Command::Unlock(args) => Box::pin(unlock::run(args, context)).await,
        Command::Lock => unlock::lock(context).await,
        Command::Trust(command) => trust::run(command, context).await,
        Command::Me => directory::me(context).await,
        Command::Todo(args) => todo::run(args, context).await,
        Command::Console(args) => Box::pin(console::run(args, context)).await,
        Command::Partner(command) => directory::partner(command, context).await,
        Command::Member(command) => member::run(command, context).await,
        Command::KeyCard(command) => key_card::run(command, context).await,
        Command::Policy(command) => policy::run(command, context).await,
        Command::Program(command) => program::run(command, context).await,
        Command::Call(command) => call::run(command, context).await,
        Command::Proposal(command) => proposal::run(command, context).await,
        Command::Conflict(command) => conflict::run(command, context).await,
        Command::Assignment(command) => assignment::run(command, context).await,
        Command::Key(command) => key::run(command, context).await,
        Command::Agent(command) => Box::pin(agent::run(command, context)).await,
        Command::Relay(command) => Box::pin(relay::run(command, context)).await,
        Command::Review(command) => review::run(command, context).await,
        Command::Ranking(command) => ranking::run(command, context).await,
        Command::Decision(command) => decision::run(command, context).await,
        Command::Letter(command) => letter::run(command, context).await,
        Command::Log(args) => log::run(args, context).await,
        Command::Dossier(args) => Box::pin(dossier::export(&args, context)).await,
        Command::Verify(command) => verify::run(command, context).await,
        Command::Api(args) => api::run(args, context).await,
        Command::Open(args) => open::run(args, context).await,
        Command::Demo(args) => demo(args, context).await,
        Command::DevPki(args) => pki::run(args, context),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "entente", &mut script);
            context.out.bytes(&script)
        }
    }
}

#[cfg(feature = "server")]
async fn demo(args: demo::Args, _context: &Context) -> Result<()> {
    demo::run(args).await.map_err(CliError::failed)
}

#[cfg(not(feature = "server"))]
#[expect(clippy::unused_async, reason = "the build with a server waits for it")]
async fn demo(_args: demo::Args, _context: &Context) -> Result<()> {
    Err(CliError::failed("this build has no server in it").help("build with the default features to run the demo"))
}

fn finish(done: Result<()>, context: &Context) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(&context.out);
            ExitCode::from(error.exit.code())
        }
    }
}

/// Help and version are answers; everything else clap says is a usage error, as JSON when that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|word| word == "--json");
    if !error.use_stderr() || !json {
        // Nobody is left to read an error when the terminal is gone.
        let _ = match in_plain_words(error) {
            Some(said) => write!(io::stderr(), "{said}"),
            None => error.print(),
        };
        if error.kind() == ErrorKind::DisplayVersion {
            let _ = writeln!(io::stdout(), "{}", process::time_zones());
        }
        return ExitCode::from(if error.use_stderr() { error::Exit::Usage.code() } else { 0 });
    }
    let said = in_plain_words(error).unwrap_or_else(|| error.render().to_string());
    let error = CliError::usage(first_paragraph(&said)).help("see `--help`");
    error.print(&Out::new(true, false));
    ExitCode::from(error.exit.code())
}

/// What clap says of a value that was not understood, where it would say it in words of the program.
fn in_plain_words(error: &clap::Error) -> Option<String> {
    let said = error.source()?.to_string();
    let plain = reading::worded(&said).replace("..=", " to ");
    (plain != said).then(|| error.render().to_string().replace(&said, &plain))
}

/// What clap says went wrong, on one line: what is missing stands on lines of its own.
fn first_paragraph(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{proposal::CreateProposal, review::Assign};

    #[test]
    fn usage_error_for_programs_names_what_is_missing() {
        let error = Cli::try_parse_from(["entente", "proposal", "put"]).unwrap_err().render().to_string();
        let text = first_paragraph(&error);
        assert_eq!(text, "the following required arguments were not provided: <PROPOSAL> <SLOT> <FILE>...");
    }

    #[test]
    fn number_that_is_none_is_refused_in_plain_words() {
        for (number, wanted) in [("x", "wanted a whole number"), ("99999999999", "is not in 0 to 4294967295")] {
            let words = ["entente", "policy", "approve", "ISR", number];
            let said = in_plain_words(&Cli::try_parse_from(words).unwrap_err()).unwrap();
            assert!(said.contains(wanted), "{said}");
        }
        assert_eq!(in_plain_words(&Cli::try_parse_from(["entente", "proposal", "put"]).unwrap_err()), None);
    }

    #[test]
    fn prose_of_the_help_is_wrapped_by_the_terminal() {
        fn walk(command: &clap::Command, broken: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
            let pairs = lines.windows(2).filter(|pair| is_prose(pair[0]) && is_prose(pair[1]));
            broken.extend(pairs.map(|pair| pair.join("\n")));
            command.get_subcommands().for_each(|sub| walk(sub, broken));
        }
        let mut broken = Vec::new();
        walk(&Cli::command(), &mut broken);
        assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    }

    #[test]
    fn examples_of_the_help_fit_a_terminal_of_eighty_columns() {
        fn walk(command: &clap::Command, wide: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // A terminal would break the others between words.
            let lines = help.lines().filter(|line| line.starts_with(' ') && line.chars().count() > 80);
            wide.extend(lines.map(str::to_owned));
            command.get_subcommands().for_each(|sub| walk(sub, wide));
        }
        let mut wide = Vec::new();
        walk(&Cli::command(), &mut wide);
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{path} has no examples");
                assert!(command.get_about().is_some(), "{path} does not say what it does");
            }
            command.get_subcommands().for_each(|sub| walk(sub, &path));
        }
        walk(&Cli::command(), "");
    }

    #[test]
    fn examples_of_the_help_are_commands_that_parse() {
        fn walk(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let pieces: Vec<&str> = help.split("\\\n").map(str::trim_start).collect();
            let help = pieces.join("");
            found.extend(help.lines().map(str::trim).filter(|line| line.starts_with("entente ")).map(str::to_owned));
            command.get_subcommands().for_each(|sub| walk(sub, found));
        }
        let mut found = Vec::new();
        walk(&Cli::command(), &mut found);
        assert!(found.len() > 60, "{} examples", found.len());
        let faults = found.iter().filter_map(|example| Some((example, Cli::try_parse_from(words(example)).err()?)));
        let faults: Vec<String> = faults.map(|(example, error)| format!("{example}\n{error}")).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// A command in backticks, as far as it names nouns, verbs and options.
    fn check_command(line: &str, place: &str) {
        let mut command = &Cli::command();
        for word in line.split(' ').take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
            let found = command.find_subcommand(word);
            command = found.unwrap_or_else(|| panic!("`{place}`: there is no `entente {line}`"));
        }
        for option in line.split(' ').filter_map(|word| word.strip_prefix("--")).filter(|option| *option != "help") {
            let is_it = |argument: &clap::Arg| argument.get_long() == Some(option);
            assert!(command.get_arguments().any(is_it), "`{place}`: no `--{option}` of `entente {line}`");
        }
    }

    #[test]
    fn remedies_of_problems_name_commands_and_routes_that_exist() {
        let api = include_str!("../../docs/openapi.json");
        let (mut commands, mut routes) = (0, 0);
        for kind in crate::wire::problem::Kind::ALL {
            for quoted in kind.remedy().split('`').skip(1).step_by(2) {
                if let Some(line) = quoted.strip_prefix("entente ") {
                    check_command(line, kind.slug());
                    commands += 1;
                }
                if let Some((method, route)) = quoted.split_once(" /v1/") {
                    assert!(api.contains(&format!("\"/v1/{route}\"")), "`{}`: no `{method} /v1/{route}`", kind.slug());
                    routes += 1;
                }
            }
        }
        assert!(commands > 20 && routes > 0, "{commands} commands, {routes} routes");
    }

    #[test]
    fn help_names_commands_that_exist() {
        fn walk(command: &clap::Command, found: &mut u32) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("entente ")) {
                check_command(line, command.get_name());
                *found += 1;
            }
            command.get_subcommands().for_each(|sub| walk(sub, found));
        }
        let mut found = 0;
        walk(&Cli::command(), &mut found);
        assert!(found > 10, "{found}");
    }

    #[test]
    fn examples_fit_the_help_so_that_they_can_be_copied() {
        fn walk(command: &clap::Command, long: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 100);
            long.extend(lines.map(str::to_owned));
            command.get_subcommands().for_each(|sub| walk(sub, long));
        }
        let mut long = Vec::new();
        walk(&Cli::command(), &mut long);
        assert!(long.is_empty(), "{}", long.join("\n"));
    }

    #[test]
    fn limits_in_the_help_are_those_of_a_request() {
        fn says(path: [&str; 2], limit: &str) {
            let mut command = &Cli::command();
            for word in path {
                command = command.find_subcommand(word).unwrap();
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(limit), "{path:?} does not say `{limit}`");
        }
        let (lines, invitations) = (Assign::MOST, CreateProposal::MOST_INVITATIONS);
        says(["assignment", "load"], &format!("More than {lines} lines"));
        says(["proposal", "create"], &format!("at most {invitations} invitations"));
    }

    /// The words of an example, up to a pipe, a redirection or a remark two spaces away.
    fn words(example: &str) -> Vec<String> {
        let mut words = Vec::new();
        let (mut word, mut quoted, mut blanks) = (String::new(), false, 0);
        for c in example.chars() {
            match c {
                '\'' => (quoted, blanks) = (!quoted, 0),
                ' ' if !quoted => {
                    blanks += 1;
                    if !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    if blanks == 3 {
                        break;
                    }
                }
                '|' | '>' if !quoted && word.is_empty() => break,
                c => {
                    blanks = 0;
                    word.push(c);
                }
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        // What stands for a value in the help: any value of the kind will do here.
        let digest = "0".repeat(64);
        let ulid = "01J9ZQ4N6M8V7X5T3R2P1K0HGF";
        let kinds = [("PROPOSAL", "prop"), ("CALL", "call"), ("PROGRAM", "prog"), ("LETTER", "doc"), ("KEY", "key")];
        let filled = |word: String| {
            let named = kinds.iter().find(|(name, _)| word.strip_prefix('$') == Some(name));
            named.map_or_else(|| word.replace("3f9a…", &digest), |(_, prefix)| format!("{prefix}_{ulid}"))
        };
        words.into_iter().map(filled).collect()
    }
}
