//! Keeps what the server counts, and writes it as Prometheus reads it (text format 0.0.4).
//!
//! A figure never goes away once it was counted. Names and labels come from constants, so names are written as they are.

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit, atomics::AtomicU64,
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering},
};

/// Upper bounds of the buckets of each histogram, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Where all figures are. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct FigureRecorder(Arc<RecordedFigures>);

#[derive(Debug, Default)]
struct RecordedFigures {
    counters: Series<AtomicU64>,
    gauges: Series<AtomicU64>,
    histograms: Series<Distribution>,
    descriptions: RwLock<HashMap<String, SharedString>>,
}

impl FigureRecorder {
    /// Every figure, sorted by kind, name and labels.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let kept = &self.0;
        self.write(&mut text, "counter", &kept.counters, |text, name, labels, counter| {
            write_line(text, name, labels, counter.load(Ordering::Acquire));
        });
        self.write(&mut text, "gauge", &kept.gauges, |text, name, labels, gauge| {
            write_line(text, name, labels, f64::from_bits(gauge.load(Ordering::Acquire)));
        });
        self.write(&mut text, "histogram", &kept.histograms, |text, name, labels, histogram| {
            histogram.write(text, name, labels);
        });
        text
    }

    /// The figures of one kind, those of a name below each other.
    fn write<T>(&self, text: &mut String, kind: &str, series: &Series<T>, line: impl Fn(&mut String, &str, &str, &T)) {
        let descriptions = self.0.descriptions.read().unwrap_or_else(PoisonError::into_inner);
        for (name, figures) in series.sorted() {
            if let Some(description) = descriptions.get(&name) {
                let _ = writeln!(text, "# HELP {name} {}", description.replace('\\', "\\\\").replace('\n', "\\n"));
            }
            let _ = writeln!(text, "# TYPE {name} {kind}");
            for (labels, figure) in figures {
                line(text, &name, &labels, &figure);
            }
            text.push('\n');
        }
    }

    fn describe(&self, name: &KeyName, description: SharedString) {
        let mut descriptions = self.0.descriptions.write().unwrap_or_else(PoisonError::into_inner);
        descriptions.entry(name.as_str().to_owned()).or_insert(description);
    }
}

impl Recorder for FigureRecorder {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, description: SharedString) {
        self.describe(&name, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.counters.of(key).into()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.gauges.of(key).into()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.histograms.of(key).into()
    }
}

/// Figures of one kind, by name and labels.
#[derive(Debug)]
struct Series<T>(RwLock<HashMap<Key, Arc<T>>>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Default> Series<T> {
    /// Begins at zero where it is the first of its name and labels.
    fn of(&self, key: &Key) -> Arc<T> {
        if let Some(found) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Arc::clone(found);
        }
        let mut figures = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(figures.entry(key.to_retained()).or_default())
    }
}

impl<T> Series<T> {
    /// By name, then by labels as they are written.
    fn sorted(&self) -> BTreeMap<String, BTreeMap<String, Arc<T>>> {
        let mut sorted = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (key, figure) in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            sorted.entry(key.name().to_owned()).or_default().insert(labels_of(key), Arc::clone(figure));
        }
        sorted
    }
}

/// `a="1",b="2"`
fn labels_of(key: &Key) -> String {
    let mut labels = String::new();
    for label in key.labels() {
        let value = label.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let comma = if labels.is_empty() { "" } else { "," };
        let _ = write!(labels, "{comma}{}=\"{value}\"", label.key());
    }
    labels
}

fn write_line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// How many samples were at most as large as each bound, how many there were, and their sum.
#[derive(Debug, Default)]
struct Distribution(Mutex<Samples>);

#[derive(Debug, Default, Clone, Copy)]
struct Samples {
    up_to: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl HistogramFn for Distribution {
    fn record(&self, sample: f64) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (up_to, _) in samples.up_to.iter_mut().zip(BUCKETS).filter(|(_, bound)| sample <= *bound) {
            *up_to += 1;
        }
        samples.count += 1;
        samples.sum += sample;
    }
}

impl Distribution {
    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let Samples { up_to, count, sum } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = BUCKETS.iter().map(ToString::to_string).zip(up_to).chain([("+Inf".to_owned(), count)]);
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, up_to) in bounds {
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {up_to}");
        }
        write_line(text, &format!("{name}_sum"), labels, sum);
        write_line(text, &format!("{name}_count"), labels, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{counter, describe_counter, describe_histogram, gauge, histogram, with_local_recorder};

    #[test]
    fn figures_are_written_in_the_text_format_of_prometheus() {
        let recorder = FigureRecorder::default();
        with_local_recorder(&recorder, || {
            describe_counter!("acts_total", "Acts, by `kind`\nand \\ outcome");
            counter!("acts_total", "kind" => "b", "outcome" => "ok").increment(2);
            counter!("acts_total", "kind" => "a \"1\"\n\\", "outcome" => "ok").increment(1);
            counter!("acts_total", "kind" => "b", "outcome" => "ok").increment(3);
            gauge!("open").increment(2.0);
            gauge!("open").decrement(0.5);
            gauge!("ends", "partner" => "ISR").set(f64::INFINITY);
            describe_histogram!("wait", Unit::Seconds, "Seconds");
            for seconds in [0.0005, 0.001, 0.2, 40.0] {
                histogram!("wait").record(seconds);
            }
            histogram!("took", "route" => "/v1/me").record(0.5);
        });
        let buckets = |name: &str, labels: &str, counts: [u64; 12]| {
            let bounds = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "1", "5", "30", "+Inf"];
            let line = |(bound, count)| format!("{name}_bucket{{{labels}le=\"{bound}\"}} {count}\n");
            bounds.into_iter().zip(counts).map(line).collect::<String>()
        };
        let wanted = [
            "# HELP acts_total Acts, by `kind`\\nand \\\\ outcome\n# TYPE acts_total counter\n",
            "acts_total{kind=\"a \\\"1\\\"\\n\\\\\",outcome=\"ok\"} 1\nacts_total{kind=\"b\",outcome=\"ok\"} 5\n\n",
            "# TYPE ends gauge\nends{partner=\"ISR\"} inf\n\n# TYPE open gauge\nopen 1.5\n\n",
            "# TYPE took histogram\n",
            &buckets("took", "route=\"/v1/me\",", [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]),
            "took_sum{route=\"/v1/me\"} 0.5\ntook_count{route=\"/v1/me\"} 1\n\n",
            "# HELP wait Seconds\n# TYPE wait histogram\n",
            &buckets("wait", "", [2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4]),
            "wait_sum 40.2015\nwait_count 4\n\n",
        ];
        assert_eq!(recorder.render(), wanted.concat());
    }

    #[test]
    fn first_description_of_a_figure_stays() {
        let recorder = FigureRecorder::default();
        with_local_recorder(&recorder, || {
            describe_counter!("acts_total", "Acts");
            describe_counter!("acts_total", "Others");
            counter!("acts_total").increment(0);
        });
        assert_eq!(recorder.render(), "# HELP acts_total Acts\n# TYPE acts_total counter\nacts_total 0\n\n");
    }
}
