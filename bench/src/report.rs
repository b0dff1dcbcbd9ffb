//! Gathers figures over repetitions and prints them.

use std::io::{IsTerminal, Write};

/// One figure of one repetition.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

pub(crate) fn figure(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, value }
}

/// The value below which this share of the samples lies.
pub(crate) fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let at = ((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len().max(1)) - 1;
    samples.get(at).copied().unwrap_or(f64::NAN)
}

pub(crate) struct Report {
    json: bool,
    name: &'static str,
    figures: Vec<(Figure, Vec<f64>)>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        if !json {
            println!(
                "{:<16} {:<28} {:>12} {:>25}  unit",
                "measure", "figure", "median", "(lowest – highest)"
            );
        }
        Report {
            json,
            name: "",
            figures: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, name: &'static str, about: &str) {
        if !self.json {
            println!("\n{name}: {about}");
        }
        self.name = name;
        self.figures.clear();
    }

    /// Shows that something happens, where a person is looking.
    pub(crate) fn progress(&self, repetition: usize, of: usize) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let _ = write!(stderr, "\r{} {repetition}/{of} …\x1b[K", self.name);
            let _ = stderr.flush();
        }
    }

    pub(crate) fn add(&mut self, figures: Vec<Figure>) {
        for figure in figures {
            match self
                .figures
                .iter_mut()
                .find(|(known, _)| known.name == figure.name)
            {
                Some((_, values)) => values.push(figure.value),
                None => {
                    let value = figure.value;
                    self.figures.push((figure, vec![value]));
                }
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        for (figure, values) in &mut self.figures {
            let median = percentile(values, 0.5);
            let (lowest, highest) = (values[0], values[values.len() - 1]);
            if self.json {
                let object = serde_json::json!({
                    "measure": self.name,
                    "figure": figure.name,
                    "unit": figure.unit,
                    "median": median,
                    "min": lowest,
                    "max": highest,
                    "values": values,
                });
                println!("{object}");
            } else {
                let range = format!("({} – {})", number(lowest), number(highest));
                println!(
                    "{:<16} {:<28} {:>12} {range:>25}  {}",
                    "",
                    figure.name,
                    number(median),
                    figure.unit
                );
            }
        }
    }
}

/// Three digits that matter, or all before the point.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();

        assert_eq!(percentile(&mut samples, 0.5), 50.0);
        assert_eq!(percentile(&mut samples, 0.95), 95.0);
        assert_eq!(percentile(&mut samples, 1.0), 100.0);
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
    }
}
