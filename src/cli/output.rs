//! What people and programs see: aligned text on standard output, JSON with `--json`, or the tables alone as CSV with `--csv`; notes
//! on standard error.
//!
//! Decides about colours (a terminal, and no `NO_COLOR`) and escapes control characters and text-direction overrides in
//! everything it prints for people, since titles and names are written by others. Answers go to standard output, all
//! else to standard error, so that pipes carry answers only.

use super::{
    bidi::with_isolates,
    error::{CliError, Result},
    table::{Table, padded},
};
use crate::{domain::name::misleads, platform, wire::problem::LineFault};
use serde::Serialize;
use std::{
    fmt::{Display, Write as _},
    io::{IsTerminal, Write},
    sync::{Arc, Mutex},
};
use terminal_size::{Height, Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

/// Escapes what could make a terminal do or hide something.
pub(super) use crate::domain::name::visible as clean;

/// Where output goes and in what form. Clones write to the same place.
#[derive(Clone)]
pub struct Out {
    json: bool,
    csv: bool,
    quiet: bool,
    ids: bool,
    stdout: Arc<Sink>,
    stderr: Arc<Sink>,
}

struct Sink {
    to: Mutex<Box<dyn Write + Send>>,
    is_terminal: bool,
    colours: bool,
    /// Columns of the terminal; a pipe has no edge.
    width: Option<usize>,
}

/// How a piece of text is set off on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

/// Text for people, line by line.
#[derive(Debug, Default)]
pub struct Screen {
    text: String,
    colours: bool,
    /// Tables are not wider.
    width: Option<usize>,
    /// Whether identifiers stand beside what people call things by.
    ids: bool,
    /// The tables so far, where they are wanted as CSV. All else is text beside them.
    csv: Option<String>,
    /// Whether it was said in which zone the tables have their times.
    has_zone: bool,
    #[cfg(test)]
    shown: ShownTables,
}

/// What tests ask of the tables that were shown.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct ShownTables {
    /// Where they are made.
    pub(super) made_at: std::collections::BTreeSet<(&'static str, u32)>,
    /// Themselves, as a pipe has them.
    pub(super) tables: Vec<String>,
    /// Those that have more lines than rows here, as a pipe has them.
    pub(super) cramped: Vec<String>,
}

impl Out {
    /// The process's own standard output and error.
    pub fn new(json: bool, quiet: bool) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            && platform::takes_colours();
        let sink = |to: Box<dyn Write + Send>, is_terminal: bool, size: Option<(Width, Height)>| {
            let width = size.map(|(Width(columns), _)| columns.into());
            Arc::new(Sink { to: Mutex::new(to), is_terminal, colours: is_terminal && colours, width })
        };
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let (out_size, err_size) = (terminal_size_of(&stdout), terminal_size_of(&stderr));
        let (is_out, is_err) = (stdout.is_terminal(), stderr.is_terminal());
        let (stdout, stderr) = (sink(Box::new(stdout), is_out, out_size), sink(Box::new(stderr), is_err, err_size));
        Self { json, csv: false, quiet, ids: false, stdout, stderr }
    }

    /// The same, with identifiers shown beside what people call things by.
    #[must_use]
    pub fn with_ids(self, ids: bool) -> Self {
        Self { ids, ..self }
    }

    /// The same, with the tables of answers as CSV.
    #[must_use]
    pub fn with_csv(self, csv: bool) -> Self {
        Self { csv, ..self }
    }

    fn screen(&self, sink: &Sink) -> Screen {
        Screen { colours: sink.colours, width: sink.width, ids: self.ids, ..Screen::default() }
    }

    /// Whether programs read the answer.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether the tables of the answer are wanted as CSV.
    pub fn is_csv(&self) -> bool {
        self.csv
    }

    /// Whether nothing but the answer is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether standard output is a terminal, which what is written could steer.
    pub fn is_at_terminal(&self) -> bool {
        self.stdout.is_terminal
    }

    /// Whether a person sees standard error as it comes.
    pub fn is_live(&self) -> bool {
        self.stderr.is_terminal
    }

    /// Prints an answer: `value` as JSON, or what `show` puts on the screen. As CSV its tables go to standard output, and all
    /// else to standard error, even if nothing but the answer is wanted: it may say what the tables leave out.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn answer(&self, value: &impl Serialize, show: impl FnOnce(&mut Screen)) -> Result<()> {
        if self.json {
            return self.json(value);
        }
        if self.csv {
            let mut screen = Screen { csv: Some(String::new()), ..self.screen(&self.stderr) };
            show(&mut screen);
            let _ = self.stderr.write(screen.text.trim_start_matches('\n'));
            return match screen.csv.filter(|csv| !csv.is_empty()) {
                // Whatever it goes to may end at a terminal.
                Some(csv) => self.stdout.write(&clean_csv(&csv)),
                None => {
                    self.note("this answer has no table: `--json` prints all of it for programs");
                    Ok(())
                }
            };
        }
        let mut screen = self.screen(&self.stdout);
        show(&mut screen);
        self.stdout.write(&screen.text)
    }

    /// Prints one JSON value on standard output, over several lines only on a terminal.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let text =
            if self.stdout.is_terminal { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let mut text = clean_json(&text.map_err(CliError::failed)?);
        text.push('\n');
        self.stdout.write(&text)
    }

    /// Prints a text on standard output, byte for byte but on a terminal, which it could steer.
    ///
    /// # Errors
    /// When standard output cannot be written, or tables are wanted.
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        if self.csv {
            return Err(CliError::usage("this answer is a text and has no table").help("leave `--csv` out"));
        }
        if self.stdout.is_terminal {
            let mut screen = Screen::default();
            screen.paragraph(&String::from_utf8_lossy(bytes));
            return self.stdout.write(&screen.text);
        }
        let mut to = self.stdout.to.lock().expect("printing does not panic");
        to.write_all(bytes).and_then(|()| to.flush()).map_err(broken)
    }

    /// Prints an act that was done: `done …` for people, `{"done": …}` for programs.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn done(&self, what: &str) -> Result<()> {
        self.answer(&serde_json::json!({ "done": what }), |screen| {
            screen.styled(&[(Style::Green, "done  "), (Style::Plain, what)]);
        })
    }

    /// Says what goes on, on standard error; silent with `--quiet` and `--json`.
    pub fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            self.stderr_line(&[(Style::Dim, text)]);
        }
    }

    /// Shows people something to look at before they go on, on standard error; silent with `--quiet` and `--json`.
    pub fn aside(&self, show: impl FnOnce(&mut Screen)) {
        if !self.quiet && !self.json {
            let mut screen = self.screen(&self.stderr);
            show(&mut screen);
            // Nobody is left to read an error when standard error is gone.
            let _ = self.stderr.write(&screen.text);
        }
    }

    /// Warns on standard error; with `--json` as a JSON line.
    pub fn warn(&self, text: &str) {
        if self.json {
            self.stderr_json(&serde_json::json!({ "warning": text }));
        } else {
            self.stderr_line(&[(Style::Yellow, "warning: "), (Style::Plain, text)]);
        }
    }

    pub(super) fn stderr_line(&self, parts: &[(Style, &str)]) {
        let mut screen = self.screen(&self.stderr);
        screen.styled(parts);
        // Nobody is left to read an error when standard error is gone.
        let _ = self.stderr.write(&screen.text);
    }

    pub(super) fn stderr_json(&self, value: &serde_json::Value) {
        let _ = self.stderr.write(&format!("{}\n", clean_json(&value.to_string())));
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("json", &self.json).field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

impl Sink {
    fn write(&self, text: &str) -> Result<()> {
        let mut to = self.to.lock().expect("printing does not panic");
        to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(broken)
    }
}

impl CliError {
    /// Prints the error on standard error: two lines for people, one JSON object for programs; nothing without a message.
    pub fn print(&self, out: &Out) {
        if self.message.is_empty() {
            return;
        }
        if out.is_json() {
            let body = match &self.problem {
                Some(problem) => serde_json::to_value(problem).unwrap_or_default(),
                None => serde_json::json!({
                    "type": format!("urn:entente:cli:{}", self.exit.slug()),
                    "title": self.exit.slug(),
                    "detail": self.message,
                    "remedy": self.help,
                }),
            };
            return out.stderr_json(&body);
        }
        let mut screen = out.screen(&out.stderr);
        let faults = self.problem.as_ref().map_or(&[][..], |problem| &problem.faults[..]);
        screen.error(&self.message, faults, self.help.as_deref());
        // Nobody is left to read an error when standard error is gone.
        let _ = out.stderr.write(&screen.text);
    }
}

fn broken(error: std::io::Error) -> CliError {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        // The reader, `head` say, has seen enough: nothing to complain about.
        return CliError::failed("");
    }
    CliError::failed(format!("cannot write the answer: {error}"))
}

impl Screen {
    /// What a terminal of so many columns shows, for those who review what users read.
    #[must_use]
    pub fn text_at(width: usize, show: impl FnOnce(&mut Self)) -> String {
        let mut screen = Self { width: Some(width), ..Self::default() };
        show(&mut screen);
        screen.text
    }

    /// An error, the lines at fault and what to do about it, as every command ends with it.
    pub fn error(&mut self, message: &str, faults: &[LineFault], help: Option<&str>) {
        self.styled(&[(Style::Red, "error: "), (Style::Plain, message)]);
        for LineFault { line, detail, .. } in faults {
            self.styled(&[(Style::Plain, &format!("       line {line}: {detail}"))]);
        }
        if let Some(help) = help {
            self.styled(&[(Style::Dim, "help:  "), (Style::Plain, help)]);
        }
    }

    /// Whether its tables are CSV, which has every row and column.
    pub(super) fn is_csv(&self) -> bool {
        self.csv.is_some()
    }

    /// What people call a thing, with its identifier where that is wanted.
    pub fn named(&self, name: &impl Display, id: &impl Display) -> String {
        if self.ids { format!("{name} ({id})") } else { name.to_string() }
    }

    /// An identifier that nobody has to type, where it is wanted.
    pub fn id(&self, id: &impl Display) -> String {
        if self.ids { id.to_string() } else { String::new() }
    }

    /// One line of plain text.
    pub fn line(&mut self, text: &str) {
        self.styled(&[(Style::Plain, text)]);
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A heading with an empty line before it, unless it comes first.
    pub fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.gap();
        }
        self.styled(&[(Style::Bold, text)]);
    }

    /// One line of differently set pieces, broken between words where the terminal ends.
    pub fn styled(&mut self, parts: &[(Style, &str)]) {
        let indent = parts.first().map_or(0, |(_, text)| text.len() - text.trim_start_matches(' ').len());
        self.flowing(parts, 0, indent);
    }

    /// Text of several lines, such as a call's, each kept as it is.
    pub fn paragraph(&mut self, text: &str) {
        for line in text.lines() {
            self.text.push_str(&clean(line));
            self.text.push('\n');
        }
    }

    /// Pieces from a column on; further lines begin at `indent`.
    fn flowing(&mut self, parts: &[(Style, &str)], mut column: usize, indent: usize) {
        let start = column.max(indent);
        for (style, text) in parts {
            let text = clean(text);
            let text = if self.width.is_some() { with_isolates(&text) } else { text };
            let mut fragment = String::new();
            for word in text.split_inclusive(' ') {
                let is_over = |width| column > start && column + word.trim_end().width() > width;
                if self.width.is_some_and(is_over) {
                    self.piece(*style, fragment.trim_end());
                    write!(self.text, "\n{}", " ".repeat(indent)).expect("writing to memory does not fail");
                    (fragment, column) = (String::new(), indent);
                }
                fragment.push_str(word);
                column += word.width();
            }
            self.piece(*style, &fragment);
        }
        self.text.push('\n');
    }

    /// Names and values, one pair a line, values aligned. A value of several lines goes on under itself; an empty one
    /// is left out.
    pub fn fields(&mut self, fields: &[(&str, String)]) {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            for (at, line) in value.lines().enumerate() {
                self.piece(Style::Dim, &padded(if at == 0 { name } else { "" }, width));
                self.flowing(&[(Style::Plain, line)], width, width);
            }
        }
    }

    /// A table, under the zone of its times; says `nothing` instead when it has no rows. As CSV it has its headings then, and
    /// comes after an empty line unless it is the first.
    pub fn table(&mut self, table: &Table, nothing: &str) {
        #[cfg(test)]
        if !table.is_empty() {
            self.shown.made_at.insert((table.made_at.file(), table.made_at.line()));
            let (here, whole) = (table.lines(self.width, clean), table.lines(None, clean));
            self.shown.cramped.extend((here.len() > whole.len()).then(|| whole.join("\n")));
            self.shown.tables.push(whole.join("\n"));
        }
        if let Some(csv) = &mut self.csv {
            csv.push_str(if csv.is_empty() { "" } else { "\r\n" });
            csv.push_str(&table.csv());
        }
        if table.is_empty() && (self.csv.is_none() || !nothing.is_empty()) {
            return self.styled(&[(Style::Dim, nothing)]);
        }
        if self.csv.is_some() {
            return;
        }
        if let Some(zone) = table.zone() {
            self.zone(zone);
        }
        for (at, line) in table.lines(self.width, clean).into_iter().enumerate() {
            self.piece(if at == 0 { Style::Bold } else { Style::Plain }, &line);
            self.text.push('\n');
        }
    }

    /// Says once in which zone times are.
    pub(super) fn zone(&mut self, name: &str) {
        if !std::mem::replace(&mut self.has_zone, true) {
            self.styled(&[(Style::Dim, &format!("times are in {name}"))]);
        }
    }

    fn piece(&mut self, style: Style, text: &str) {
        let code = match style {
            Style::Plain => None,
            Style::Bold => Some(1),
            Style::Dim => Some(2),
            Style::Red => Some(31),
            Style::Green => Some(32),
            Style::Yellow => Some(33),
        };
        match code.filter(|_| self.colours) {
            Some(code) => write!(self.text, "\x1b[{code}m{text}\x1b[0m").expect("writing to memory does not fail"),
            None => self.text.push_str(text),
        }
    }
}

/// [`clean`] for JSON, which means what it meant: such characters stand within strings alone, but for the ends of its lines.
fn clean_json(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if misleads(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(cleaned, "\\u{unit:04x}").expect("writing to memory does not fail");
            }
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

/// The same for CSV, whose lines stay what they are.
fn clean_csv(text: &str) -> String {
    let is_line_end = |c: char| matches!(c, '\r' | '\n');
    text.split_inclusive(is_line_end)
        .map(|line| {
            let (content, end) = line.split_at(line.trim_end_matches(is_line_end).len());
            clean(content) + end
        })
        .collect()
}

/// What was written, for tests.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Captured {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Screen {
    /// What a terminal of so many columns would show, and its tables.
    pub(super) fn shown_at(width: usize, show: impl FnOnce(&mut Self)) -> (String, ShownTables) {
        let mut screen = Self { width: Some(width), ..Self::default() };
        show(&mut screen);
        (screen.text, screen.shown)
    }

    /// The tables as CSV.
    pub(super) fn shown_as_csv(show: impl FnOnce(&mut Self)) -> (String, ShownTables) {
        let mut screen = Self { csv: Some(String::new()), ..Self::default() };
        show(&mut screen);
        (screen.csv.unwrap_or_default(), screen.shown)
    }
}

#[cfg(test)]
impl Out {
    /// Output that a test reads: what came on standard output and on standard error.
    pub(super) fn captured(json: bool) -> (Self, Captured, Captured) {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let sink = |to: &Captured| {
            Arc::new(Sink { to: Mutex::new(Box::new(to.clone())), is_terminal: false, colours: false, width: None })
        };
        let out = Self { json, csv: false, quiet: false, ids: false, stdout: sink(&stdout), stderr: sink(&stderr) };
        (out, stdout, stderr)
    }
}

#[cfg(test)]
mod tests;
