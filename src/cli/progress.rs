//! Shows how far long work is: a bar with bytes, speed and time left on a terminal, a line each tenth where nobody
//! watches, a JSON line each tenth with `--json`; nothing with `--quiet`. Always on standard error.

use super::{
    cell::size,
    output::{Out, Style},
};
use crate::client::{ProgressListener, ProgressStep};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Arc, Mutex};

/// Shows the progress of one file.
#[derive(Debug)]
pub(super) struct Meter {
    out: Out,
    label: String,
    interrupted: Arc<Interrupted>,
    shown: Mutex<Shown>,
}

/// What an interruption would cut off, so that the last words can say what to do.
#[derive(Debug, Default)]
pub struct Interrupted(Mutex<Option<ProgressStep>>);

#[derive(Debug, Default)]
struct Shown {
    step: Option<ProgressStep>,
    tenths: u64,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// A meter for the file that people know as `label`.
    pub(super) fn new(out: &Out, label: impl Into<String>, interrupted: &Arc<Interrupted>) -> Self {
        Self { out: out.clone(), label: label.into(), interrupted: interrupted.clone(), shown: Mutex::default() }
    }

    fn line(&self, step: ProgressStep, tenths: u64, done: u64, total: u64) {
        if self.out.is_json() {
            let (step, file) = (step.to_string(), &self.label);
            let line = serde_json::json!({ "progress": { "step": step, "file": file, "done": done, "total": total } });
            self.out.stderr_json(&line);
        } else {
            let line = if step.counts_proposals() {
                format!("{step}: {done} of {total}")
            } else {
                format!("{step} {}: {} % of {}", self.label, tenths * 10, size(total))
            };
            self.out.stderr_line(&[(Style::Dim, &line)]);
        }
    }

    fn bar(&self, step: ProgressStep, total: u64) -> ProgressBar {
        let template = if step.counts_proposals() {
            "{prefix:>11} [{wide_bar}] {pos}/{len} {eta} left"
        } else {
            "{prefix:>11} {msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("=> ");
        let label = super::output::clean(&self.label);
        ProgressBar::new(total).with_style(style).with_prefix(step.to_string()).with_message(label)
    }
}

impl ProgressListener for Meter {
    fn update(&self, step: ProgressStep, done: u64, total: u64) {
        self.interrupted.note(Some(step).filter(|_| done < total));
        if self.out.is_quiet() {
            return;
        }
        let mut shown = self.shown.lock().expect("showing progress does not panic");
        // What is fetched is opened as it comes: two bars would say the same thing twice.
        if step == ProgressStep::Opening && shown.step == Some(ProgressStep::Downloading) {
            return;
        }
        if shown.step != Some(step) {
            if let Some(bar) = shown.bar.take() {
                bar.finish_and_clear();
            }
            *shown = Shown { step: Some(step), ..Shown::default() };
        }
        if self.out.is_live() && !self.out.is_json() {
            let bar = shown.bar.get_or_insert_with(|| self.bar(step, total));
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
            return;
        }
        let tenths = done.saturating_mul(10).checked_div(total).unwrap_or(10);
        // A connection that is taken up again may go back; lines only go forward.
        if tenths > shown.tenths {
            shown.tenths = tenths;
            self.line(step, tenths, done, total);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Ok(shown) = self.shown.get_mut()
            && let Some(bar) = shown.bar.take()
        {
            bar.finish_and_clear();
        }
    }
}

impl Interrupted {
    fn note(&self, step: Option<ProgressStep>) {
        *self.0.lock().expect("noting a step does not panic") = step;
    }

    /// What somebody should do whose command was cut off just now.
    pub fn advice(&self) -> &'static str {
        match *self.0.lock().expect("noting a step does not panic") {
            Some(ProgressStep::Sealing) => {
                "run the same command again: this file is sealed from its beginning, and what was sealed before is kept"
            }
            Some(ProgressStep::Uploading) => "run the same command again; sealing is not repeated",
            Some(_) => "run the same command again",
            None => "run the same command again if it did not finish",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_progress_is_a_line_each_tenth_and_never_goes_back() {
        let (out, _, stderr) = Out::captured(false);
        let meter = Meter::new(&out, "a.pdf", &Arc::default());
        for done in [0, 5, 100, 150, 120, 150, 1000] {
            meter.update(ProgressStep::Uploading, done, 1000);
        }
        assert_eq!(stderr.text(), "uploading a.pdf: 10 % of 1000 B\nuploading a.pdf: 100 % of 1000 B\n");
    }

    #[test]
    fn titles_are_counted_in_proposals() {
        let (out, _, stderr) = Out::captured(false);
        let meter = Meter::new(&out, "", &Arc::default());
        for done in 0..=12 {
            meter.update(ProgressStep::Titles, done, 20);
        }
        let lines = stderr.text();
        assert!(lines.starts_with("opening titles: 2 of 20\nopening titles: 4 of 20\n"), "{lines}");
    }

    #[test]
    fn opening_alongside_a_download_is_not_shown_twice() {
        let (out, _, stderr) = Out::captured(false);
        let meter = Meter::new(&out, "a.pdf", &Arc::default());
        meter.update(ProgressStep::Downloading, 600, 1000);
        meter.update(ProgressStep::Opening, 500, 1000);
        meter.update(ProgressStep::Downloading, 650, 1000);
        assert_eq!(stderr.text(), "downloading a.pdf: 60 % of 1000 B\n");
    }

    #[test]
    fn programs_get_a_json_line_each_tenth() {
        let (out, _, stderr) = Out::captured(true);
        Meter::new(&out, "a.pdf", &Arc::default()).update(ProgressStep::Sealing, 500, 1000);
        let line: serde_json::Value = serde_json::from_str(&stderr.text()).unwrap();
        assert_eq!(
            (line["progress"]["done"].as_u64(), line["progress"]["step"].as_str()),
            (Some(500), Some("sealing"))
        );
    }

    #[test]
    fn interrupted_upload_says_that_sealing_is_not_repeated() {
        let (out, _, _) = Out::captured(false);
        let interrupted = Arc::default();
        let meter = Meter::new(&out, "a.pdf", &interrupted);
        meter.update(ProgressStep::Uploading, 1, 2);
        assert_eq!(interrupted.advice(), "run the same command again; sealing is not repeated");
    }
}
