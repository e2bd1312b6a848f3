//! The exchange's server, and what its operator does beside it. Everything happens in the library; here are arguments, signals
//! and exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

use clap::{Parser, error::ErrorKind};
use entente::{
    domain::ambient::{Clock, SystemClock, SystemRng},
    http::{
        api,
        arguments::{Arguments, ServerCommand},
        backup::{self, KeepError, Verify},
        blobs_command::{self, BlobsCommand},
        check,
        clock::{self, ClockCommand},
        config::{Config, ConfigFault},
        descriptors, health, logging,
        operator::{self, OperatorCommand},
        problem,
        serve::{self, StartError},
        statements,
    },
    process::{ServiceState, tell_manager, time_zones},
};
use std::{
    io::{self, Write},
    pin::pin,
    process::{self, ExitCode},
    sync::Arc,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

fn main() -> ExitCode {
    let Arguments { config, check, settings, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to read it when the terminal is gone.
            let _ = error.print();
            if error.kind() == ErrorKind::DisplayVersion {
                let _ = writeln!(io::stdout(), "{}", time_zones());
            }
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let printed = match command {
        Some(ServerCommand::Openapi) => Some(api::openapi_json()),
        Some(ServerCommand::Problems) => Some(problem::catalogue()),
        Some(ServerCommand::Statements) => Some(statements::page()),
        _ => None,
    };
    if let Some(text) = printed {
        return exit(io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(1, error)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(|error| Failure::new(1, error)).and_then(|runtime| {
        // A backup says by itself what it is of.
        if let Some(ServerCommand::Verify(words @ Verify { folder: Some(_), .. })) = command {
            let mut out = io::stdout();
            return Ok(runtime.block_on(backup::verify(None, words, &SystemClock, &mut out))?);
        }
        // A container's probe knows 0 and 1 alone.
        let misconfigured = if matches!(command, Some(ServerCommand::Health)) { 1 } else { 2 };
        let config = Config::load(config.as_deref(), std::env::vars(), &settings)
            .map_err(|error| Failure(misconfigured, format!("{error}\n  {}", error.help())))?;
        runtime.block_on(async {
            match command {
                Some(ServerCommand::Partner(command)) => partner(&config, command).await,
                Some(ServerCommand::Blobs(command)) => blobs(&config, command).await,
                Some(ServerCommand::Clock(command)) => clock(&config, command).await,
                Some(ServerCommand::Backup(words)) => {
                    Ok(backup::back_up(&config, words, &SystemClock, &mut io::stdout()).await?)
                }
                Some(ServerCommand::Restore(words)) => {
                    Ok(backup::restore(&config, words, (&SystemClock, &SystemRng), &mut io::stdout()).await?)
                }
                Some(ServerCommand::Verify(words)) => {
                    Ok(backup::verify(Some(&config), words, &SystemClock, &mut io::stdout()).await?)
                }
                Some(ServerCommand::Health) => health(&config),
                _ if check => self::check(&config).await,
                _ => serve(config).await,
            }
        })
    });
    exit(done)
}

/// What went wrong, and the exit code for it.
struct Failure(u8, String);

impl Failure {
    /// With every cause: this is for the operator of this machine.
    fn new(code: u8, error: impl std::error::Error + 'static) -> Self {
        Self(code, check::whole(&error))
    }
}

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        Self::new(1, error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match &error {
            StartError::Config(faults) => Self(2, format!("{error}:\n{}", fault_lines(faults))),
            _ => Self::new(1, error),
        }
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    logging::init(&config.log).map_err(|error| Failure(1, error))?;
    let (mut terminate, mut interrupt) = signals().map_err(|error| Failure::new(1, error))?;
    let (order, ordered) = oneshot::channel::<()>();
    let stop = async move { drop(ordered.await) };
    let running = async {
        let running = serve::run(config, Arc::new(SystemClock), Arc::new(SystemRng), stop).await?;
        // One line for the process that started it on port 0; a closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "ready api={} admin={}", running.api_addr, running.admin_addr);
        tell_manager(ServiceState::Ready);
        // The log reports connections that had to be cut: the order to stop was followed.
        running.ended().await;
        Ok::<(), Failure>(())
    };
    let mut running = pin!(running);
    let mut stop_signal = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        done = &mut running => return done,
        () = stop_signal() => {
            tell_manager(ServiceState::Stopping);
            drop(order);
        }
    }
    tokio::select! {
        done = &mut running => done,
        () = stop_signal() => {
            tracing::warn!("received a second order to stop: ending at once");
            // What was acknowledged is on the disk; open requests end as they would with the machine.
            process::exit(1)
        }
    }
}

async fn check(config: &Config) -> Result<(), Failure> {
    let faults = config.validate(SystemClock.now());
    if !faults.is_empty() {
        return Err(StartError::Config(faults).into());
    }
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let checked = check::check(config, variables, Arc::new(SystemClock)).await;
    if !checked.faults.is_empty() {
        let text =
            format!("the configuration can be read, but a start is not in order:\n{}", fault_lines(&checked.faults));
        return Err(Failure(1, text));
    }
    let shortfall = descriptors::shortfall(&config.limits, descriptors::reachable());
    let notices = checked.notes.into_iter().chain(shortfall);
    let said: Vec<_> = ["the configuration is in order".to_owned()].into_iter().chain(notices).collect();
    writeln!(io::stdout(), "{}", said.join("\n")).map_err(|error| Failure::new(1, error))
}

fn health(config: &Config) -> Result<(), Failure> {
    health::ask(config.admin.listen).map_err(|error| Failure::new(1, error))?;
    writeln!(io::stdout(), "the server is ready").map_err(|error| Failure::new(1, error))
}

async fn partner(config: &Config, command: OperatorCommand) -> Result<(), Failure> {
    let exchange = serve::open(config, Arc::new(SystemClock), Arc::new(SystemRng)).await?;
    let done = operator::partner(&exchange, command, &mut io::stdout()).await;
    exchange.db.close().await;
    done.map_err(|error| Failure::new(1, error))
}

async fn blobs(config: &Config, command: BlobsCommand) -> Result<(), Failure> {
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
    let done = blobs_command::blobs(config, command, clock, rng, &mut io::stdout()).await;
    done.map_err(|error| Failure::new(1, error))
}

async fn clock(config: &Config, command: ClockCommand) -> Result<(), Failure> {
    let exchange = serve::open(config, Arc::new(SystemClock), Arc::new(SystemRng)).await?;
    let done = clock::clock(&exchange, command, &mut io::stdout()).await;
    exchange.db.close().await;
    done.map_err(|error| Failure::new(1, error))
}

/// SIGTERM and SIGINT.
fn signals() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
}

fn fault_lines(faults: &[ConfigFault]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}\n    {}", fault.help)).collect();
    lines.join("\n")
}

fn exit(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, message)) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(code)
        }
    }
}
