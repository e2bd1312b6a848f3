//! Asks the person at the terminal: for passphrases without echo, or from a file that a script names (never from an argument,
//! never from the environment itself, never printed), and for a yes before what nobody can take back.
//!
//! An act that cannot be undone happens only after that yes, or because a script said `--yes`. Where nobody can be asked
//! and nothing was said, it does not happen.

use super::{
    bidi::with_isolates,
    error::{CliError, Result},
};
use crate::{
    domain::text::counted,
    platform,
    sealing::identity::{PassphraseFault, Prompt, SecretText},
};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// The environment variable that names a file with a passphrase.
pub(super) const PASSPHRASE_FILE: &str = "ENTENTE_PASSPHRASE_FILE";

/// The way past the question, for scripts.
#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Go on without being asked, for scripts
    #[arg(long, short)]
    yes: bool,
}

impl Consent {
    /// Whether nobody is asked.
    pub(super) fn is_given(self) -> bool {
        self.yes
    }
}

/// The person at the terminal, or the passphrase file of a script.
#[derive(Debug, Clone, Default)]
pub struct Keyboard {
    file: Option<PathBuf>,
    /// What was typed, for a command that opens its files again and again.
    memory: Option<Arc<Mutex<Memory>>>,
    /// The passphrases that opened a file in this command: the next file may have the same. Wiped with the last keyboard.
    opened: Arc<Mutex<Vec<SecretText>>>,
}

/// The passphrases of files that were typed, by what was asked. Each is wiped when the last keyboard that shares it goes.
#[derive(Debug, Default)]
struct Memory {
    typed: BTreeMap<String, SecretText>,
    /// Nobody is asked for another one.
    is_closed: bool,
}

impl Keyboard {
    /// Reads passphrases from `file`, from the file that the environment names, or from the terminal.
    pub fn new(file: Option<PathBuf>) -> Self {
        let named = || std::env::var_os(PASSPHRASE_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { file: file.or_else(named), memory: None, opened: Arc::default() }
    }

    /// Remembers the passphrases of files that are typed from here on. Those that a file names are read each time.
    #[must_use]
    pub(super) fn remembering(self) -> Self {
        Self { memory: Some(Arc::default()), ..self }
    }

    /// Answers with what it remembers from here on, and asks nobody for the passphrase of another file.
    pub(super) fn asks_for_no_more_files(&self) {
        if let Some(memory) = &self.memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        }
    }

    /// A passphrase to protect something new with; typed twice at a terminal.
    ///
    /// # Errors
    /// When nobody can be asked, when the two differ, or when it is shorter than 12 characters.
    pub fn new_passphrase(&self) -> Result<SecretText> {
        if let Some(file) = &self.file {
            return from_file(file).and_then(long_enough);
        }
        if !std::io::stdin().is_terminal() {
            return Err(CliError::usage("there is no terminal to ask for a passphrase at")
                .help("name a file with `--passphrase-file`, or make an unprotected key with `--plain`"));
        }
        let ask = |text: &str| rpassword::prompt_password(text).map(Zeroizing::new).map_err(CliError::failed);
        let (first, again) = (ask("New passphrase: ")?, ask("Again: ")?);
        if *first != *again {
            return Err(CliError::usage("the passphrases differ").help("run the command again"));
        }
        let typed = long_enough(String::clone(&first).into())?;
        self.has_opened(&typed);
        Ok(typed)
    }

    /// Forgets what opened files: for a process that lives on with the keys alone.
    pub(super) fn forget(&self) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Asks before something that cannot be undone. `act` begins a sentence (`cancelling call_01…`), `consequence` ends it.
    ///
    /// # Errors
    /// As [`Keyboard::agree`].
    pub(super) async fn consent(&self, given: Consent, act: &str, consequence: &str) -> Result<()> {
        self.agree(given, &format!("{act} cannot be undone: {consequence}")).await
    }

    /// Says what an act would do, and asks whether that is meant.
    ///
    /// # Errors
    /// A usage error when nobody can be asked and the question was not left out; a failure when the answer is not yes.
    pub(super) async fn agree(&self, given: Consent, what: &str) -> Result<()> {
        if given.yes {
            return Ok(());
        }
        if !is_attended() {
            return Err(CliError::usage(format!("{what}; there is no terminal to ask at whether that is meant"))
                .help("add `--yes` if you mean it"));
        }
        self.message(&format!("{}.", capitalised(what)));
        self.affirmed().await
    }

    async fn affirmed(&self) -> Result<()> {
        self.answered("Type `yes` to go on", "answer `yes` to go on").await
    }

    /// Asks until the answer is yes or no, a few times at most.
    ///
    /// # Errors
    /// A failure when the answer is not yes.
    pub(super) async fn answered(&self, question: &str, help: &str) -> Result<()> {
        let (keyboard, question) = (self.clone(), question.to_owned());
        // On a thread of its own, so that an interruption is heard meanwhile.
        let answer = tokio::task::spawn_blocking(move || keyboard.choice(&question, ["yes", "no"]));
        match answer.await {
            Ok(Some(true)) => Ok(()),
            _ => Err(CliError::failed("not confirmed, so nothing was done").help(help)),
        }
    }

    /// Asks a question with two answers, a few times at most until one of them is given. None when nobody gave one.
    fn choice(&self, question: &str, [yes, no]: [&str; 2]) -> Option<bool> {
        for _ in 0..ASKED_AT_MOST {
            match meaning(&self.line(question)?, [yes, no]) {
                None => self.message(&format!("answer `{yes}` (or `y`) or `{no}` (or `n`)")),
                answer => return answer,
            }
        }
        None
    }

    /// What somebody types on one line; none when nobody can be asked.
    pub(super) async fn typed(&self, question: &str) -> Option<String> {
        let (keyboard, question) = (self.clone(), question.to_owned());
        // On a thread of its own, so that an interruption is heard meanwhile.
        tokio::task::spawn_blocking(move || keyboard.line(&question)).await.ok().flatten()
    }

    /// Asks whether something unusual is meant, if somebody can be asked: a script has the warning that was printed before.
    ///
    /// # Errors
    /// A failure when the answer is not `yes`.
    pub(super) async fn meant(&self, given: Consent, help: &str) -> Result<()> {
        if given.yes || !is_attended() {
            return Ok(());
        }
        self.answered("Type `yes` if you mean it", help).await
    }
}

/// So often a question is asked until it is answered.
pub(super) const ASKED_AT_MOST: usize = 3;

/// What an answer means, if it means anything: one of the two words that were offered, or else the usual ones. No answer is a no.
fn meaning(answer: &str, [yes, no]: [&str; 2]) -> Option<bool> {
    let answer = answer.to_lowercase();
    match answer.as_str() {
        offered if offered == yes.to_lowercase() => Some(true),
        offered if offered == no.to_lowercase() => Some(false),
        "y" | "yes" => Some(true),
        "" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Whether somebody reads what is asked and can answer.
pub(super) fn is_attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

impl Prompt for Keyboard {
    fn passphrase(&self, purpose: &str) -> Option<SecretText> {
        if let Some(file) = &self.file {
            // Why a named file is not taken is said here: the caller knows only that there is no passphrase.
            return from_file(file).inspect_err(|error| self.message(&format!("warning: {error}"))).ok();
        }
        // Whether there is a terminal decides, not standard input: `entente proposal summary --file -` reads that.
        rpassword::prompt_password(format!("{}: ", capitalised(purpose))).ok().map(Into::into)
    }

    fn file_passphrase(&self, purpose: &str) -> Option<SecretText> {
        if let Some(file) = &self.file {
            return from_file(file).ok();
        }
        let Some(memory) = &self.memory else { return self.passphrase(purpose) };
        // Held while somebody types: two who need the same file ask once.
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(typed) = memory.typed.get(purpose) {
            return Some(typed.clone());
        }
        if memory.is_closed {
            return None;
        }
        let typed = self.passphrase(purpose)?;
        memory.typed.insert(purpose.to_owned(), typed.clone());
        Some(typed)
    }

    fn opened_before(&self) -> Vec<SecretText> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn has_opened(&self, passphrase: &SecretText) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if !opened.iter().any(|other| other.expose() == passphrase.expose()) {
            opened.insert(0, passphrase.clone());
        }
    }

    fn given(&self, purpose: &str) -> Option<SecretText> {
        if let Some(file) = &self.file {
            return from_file(file).ok();
        }
        let memory = self.memory.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        memory.typed.get(purpose).cloned()
    }

    fn passphrase_fault(&self) -> Option<PassphraseFault> {
        let error = from_file(self.file.as_deref()?).err()?;
        Some(PassphraseFault { what: error.message, help: error.help.unwrap_or_default() })
    }

    fn message(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", with_isolates(&super::output::clean(text)));
    }

    fn confirm(&self, text: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        self.choice(&format!("{text} [{yes}/{no}]"), [yes, no])
    }

    fn line(&self, purpose: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let _ = write!(std::io::stderr(), "{}: ", super::output::clean(purpose));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }
}

/// A purpose as a line of its own begins.
fn capitalised(purpose: &str) -> String {
    let purpose = super::output::clean(purpose);
    let mut letters = purpose.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The first line of a file that only its owner can read, where the system shows that.
fn from_file(path: &Path) -> Result<SecretText> {
    first_line(path, platform::service_credentials().as_deref())
}

fn first_line(path: &Path, credentials: Option<&Path>) -> Result<SecretText> {
    let shown = path.display();
    let unusable =
        |what: &str, help: &str| CliError::failed(format!("the passphrase file `{shown}` {what}")).help(help);
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            unusable("does not exist", "check the name that `--passphrase-file` or ENTENTE_PASSPHRASE_FILE gives")
        }
        io::ErrorKind::PermissionDenied => {
            unusable("cannot be read by your account", "make it yours: `chown` to your account and `chmod 600` on it")
        }
        _ => unusable(&format!("cannot be read: {error}"), "name another file"),
    };
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(unusable("is a folder", "name a file whose first line is the passphrase"));
    }
    if let Some(mode) = platform::mode_for_others(path, &metadata, credentials) {
        let what = format!("can be read by others (mode {mode:04o})");
        return Err(unusable(&what, "run `chmod 600` on it; if others may have read it, change the passphrase"));
    }
    // Enough room from the start: growing would leave copies of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE_FILE + 1));
    file.take(MAX_PASSPHRASE_FILE as u64 + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() > MAX_PASSPHRASE_FILE {
        return Err(unusable("is longer than 64 KiB", "name a file whose first line is the passphrase"));
    }
    let text = str::from_utf8(&content).map_err(|_| unusable("is not text in UTF-8", "save it as UTF-8"))?;
    // Editors on Windows begin a file with this mark.
    let line = text.strip_prefix('\u{feff}').unwrap_or(text).lines().next().unwrap_or_default();
    if line.is_empty() {
        let what = if content.is_empty() { "is empty" } else { "has an empty first line" };
        return Err(unusable(what, "write the passphrase on its first line"));
    }
    Ok(line.to_owned().into())
}

/// The shortest passphrase for something new, in characters.
const LEAST_PASSPHRASE: usize = 12;
/// The longest passphrase file, in bytes.
const MAX_PASSPHRASE_FILE: usize = 64 << 10;

/// The passphrase, unless it is too short: a stolen copy of what it protects can be tried offline, as often as one likes.
fn long_enough(passphrase: SecretText) -> Result<SecretText> {
    let length = passphrase.expose().chars().count();
    if length < LEAST_PASSPHRASE {
        let (least, given) = (LEAST_PASSPHRASE, counted(length as u64, "character", "characters"));
        return Err(CliError::usage(format!("a passphrase has at least {least} characters; this one has {given}"))
            .help("take a few words that have nothing to do with each other"));
    }
    Ok(passphrase)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_as_people_type_them() {
        for (answers, meant) in
            [(&["y", "Y", "yes", "YES"][..], Some(true)), (&["", "n", "No"], Some(false)), (&["ja", "yess", "1"], None)]
        {
            assert!(answers.iter().all(|answer| meaning(answer, ["yes", "no"]) == meant), "{answers:?}");
        }
        // A plugin offers words of its own, and the usual ones count as well.
        for (answer, meant) in [
            ("Touch", Some(true)),
            ("touch", Some(true)),
            ("y", Some(true)),
            ("skip", Some(false)),
            ("no", Some(false)),
        ] {
            assert_eq!(meaning(answer, ["Touch", "Skip"]), meant, "{answer}");
        }
        assert_eq!((meaning("n", ["n", "y"]), meaning("y", ["n", "y"])), (Some(true), Some(false)), "what was offered");
    }

    #[test]
    fn passphrase_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        std::fs::write(&path, "correct horse\nsecond line\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(from_file(&path).unwrap_err().message.contains("can be read by others"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Keyboard::new(Some(path.clone())).new_passphrase().unwrap().expose(), "correct horse");
        std::fs::write(&path, "eleven 문자로\n").unwrap();
        let short = Keyboard::new(Some(path)).new_passphrase().unwrap_err();
        assert_eq!(short.message, "a passphrase has at least 12 characters; this one has 10 characters");
    }

    #[test]
    fn each_fault_of_a_passphrase_file_is_told_as_what_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        let fault = |path: &Path| {
            let keyboard = Keyboard::new(Some(path.to_owned()));
            assert!(keyboard.file_passphrase("passphrase for `me.age`").is_none());
            keyboard.passphrase_fault().unwrap()
        };
        let missing = fault(&path);
        assert_eq!(missing.what, format!("the passphrase file `{}` does not exist", path.display()));
        assert!(missing.help.contains("--passphrase-file"));
        assert!(fault(dir.path()).what.ends_with("is a folder"));
        for (content, mode, what) in [
            (&b""[..], 0o600, "is empty"),
            (b"\ncorrect horse\n", 0o600, "has an empty first line"),
            (b"\xff\xfea\0", 0o600, "is not text in UTF-8"),
            (&vec![b'x'; MAX_PASSPHRASE_FILE + 1], 0o600, "is longer than 64 KiB"),
            (b"correct horse\n", 0o640, "can be read by others (mode 0640)"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = fault(&path);
            assert!(found.what.ends_with(what) && !found.help.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn mark_and_line_end_of_an_editor_are_not_part_of_the_passphrase() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        for content in ["correct horse", "correct horse\n", "\u{feff}correct horse\r\n"] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let keyboard = Keyboard::new(Some(path.clone()));
            assert_eq!(keyboard.file_passphrase("passphrase").unwrap().expose(), "correct horse");
            assert!(keyboard.passphrase_fault().is_none());
        }
    }

    #[test]
    fn credential_of_a_service_shows_the_mask_of_its_access_list() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        std::fs::write(&path, "correct horse\n").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o440);
        assert_eq!(first_line(&path, Some(dir.path())).unwrap().expose(), "correct horse");
        let elsewhere = dir.path().join("elsewhere");
        for folder in [None, Some(elsewhere.as_path())] {
            assert!(first_line(&path, folder).unwrap_err().message.contains("can be read by others"));
        }
        set(0o444);
        assert!(first_line(&path, Some(dir.path())).is_err());
    }
}
