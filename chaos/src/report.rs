//! What a scenario found, and the table of all of them.

use std::{collections::BTreeMap, time::Duration};

use crate::{check::Violation, load::Traffic};

/// What came of one scenario.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Its name.
    pub name: String,
    /// How many trials were made.
    pub trials: u64,
    /// What must never be and was, with the trial.
    pub violations: Vec<(String, Violation)>,
    /// Measured figures, by what they are.
    pub measures: BTreeMap<String, Measure>,
    /// Trials whose crash point never came: they prove nothing, and do not count.
    pub not_reached: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// A figure that was measured again and again, and the most that it should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measure {
    /// The values.
    pub values: Vec<f64>,
    /// The promise, if there is one.
    pub promised: Option<f64>,
}

impl Measure {
    /// Whether a promise was made of it and not kept.
    fn missed(&self) -> bool {
        self.promised
            .is_some_and(|promised| self.values.iter().any(|value| *value > promised))
    }
}

impl Tally {
    /// An empty tally.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Notes a measured value in seconds.
    pub fn measure(&mut self, what: &str, took: Duration, promised: Option<f64>) {
        self.figure(&format!("{what}, s"), took.as_secs_f64(), promised);
    }

    /// Notes a measured value.
    pub fn figure(&mut self, what: &str, value: f64, promised: Option<f64>) {
        let measure = self.measures.entry(what.to_owned()).or_default();
        measure.values.push(value);
        measure.promised = promised;
    }

    /// Notes a measured number of things.
    pub fn count(&mut self, what: &str, count: u64) {
        self.figure(what, as_float(count), None);
    }

    /// Counts a trial, or notes that its crash point was not reached.
    pub fn tried(&mut self, trial: &str, reached: bool) {
        if reached {
            self.trials += 1;
        } else {
            self.not_reached.push(trial.to_owned());
        }
    }

    /// Notes what a trial broke.
    pub fn broke(&mut self, trial: &str, violations: impl IntoIterator<Item = Violation>) {
        for violation in violations {
            eprintln!("!! {} / {trial}: {violation}", self.name);
            self.violations.push((trial.to_owned(), violation));
        }
    }

    /// Whether a figure was above what is promised.
    pub fn missed(&self) -> bool {
        self.measures.values().any(Measure::missed)
    }

    /// Whether all promises were kept.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && !self.missed()
    }

    /// What was not told before: each violation is told once.
    pub fn untold(&self, mut violations: Vec<Violation>) -> Vec<Violation> {
        violations.retain(|violation| self.violations.iter().all(|(_, told)| told != violation));
        violations
    }

    /// Notes what visitors met with; a failed request is a violation where none may fail.
    pub fn visited(&mut self, traffic: &Traffic, none_may_fail: bool) {
        self.figure("requests", as_float(traffic.sent), None);
        self.figure(
            "failed requests",
            as_float(traffic.misses.len() as u64),
            none_may_fail.then_some(0.0),
        );
        self.figure("slowest answer, s", traffic.slowest.as_secs_f64(), None);
        if traffic.again > 0 {
            self.notes.push(format!(
                "{} requests were sent again: their kept connection had been closed",
                traffic.again
            ));
        }
        if traffic.tunnels_closed > 0 {
            self.notes.push(format!(
                "{} tunnels were closed, and opened again",
                traffic.tunnels_closed
            ));
        }
        if traffic.misses.is_empty() {
            return;
        }
        let bursts: Vec<String> = traffic
            .bursts()
            .iter()
            .map(|(from, to, count)| format!("{count} from {:.1} to {:.1} s", from.as_secs_f64(), to.as_secs_f64()))
            .collect();
        let what = format!(
            "{} of {} requests failed: {:?}, in bursts: {}",
            traffic.misses.len(),
            traffic.sent,
            traffic.kinds(),
            bursts.join(", ")
        );
        if none_may_fail {
            self.broke("visitors", [Violation::new("visitors", what)]);
        } else {
            self.notes.push(what);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a table stay far below 2^52")]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// What zero in so many trials says about the rate: below three in so many, at 95 % (the rule of three).
fn bound(trials: u64, violations: usize) -> String {
    if trials == 0 {
        return "nothing was tried".to_owned();
    }
    if violations > 0 {
        return format!("{violations} of {trials}");
    }
    format!("0 of {trials}: < {:.2} % at 95 %", 300.0 / as_float(trials).max(3.0))
}

/// The table, with the figures and the notes beneath it.
pub fn table(tallies: &[Tally]) -> String {
    let head = ["scenario".to_owned(), "trials".to_owned(), "violations".to_owned()];
    let rows = tallies.iter().map(|tally| {
        [
            tally.name.clone(),
            tally.trials.to_string(),
            bound(tally.trials, tally.violations.len()),
        ]
    });
    let mut text = columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    let head = ["figure", "median", "max", "n", "promised", ""].map(str::to_owned);
    let figures: Vec<[String; 6]> = tallies.iter().flat_map(figures_of).collect();
    if !figures.is_empty() {
        text.push('\n');
        text.push_str(&columns(&std::iter::once(head).chain(figures).collect::<Vec<_>>()));
    }
    for tally in tallies {
        for note in &tally.notes {
            text.push_str(&format!("\n{}: {note}", tally.name));
        }
        if !tally.not_reached.is_empty() {
            text.push_str(&format!("\n{}: {}", tally.name, not_reached(&tally.not_reached)));
        }
        for (trial, violation) in &tally.violations {
            text.push_str(&format!("\nVIOLATION {} / {trial}: {violation}", tally.name));
        }
    }
    text
}

/// So many of the trials that were not reached are named.
const NAMED: usize = 10;

fn not_reached(trials: &[String]) -> String {
    let named = trials.len().min(NAMED);
    let more = if trials.len() > named { "; and more" } else { "" };
    format!("{} not reached: {}{more}", trials.len(), trials[..named].join("; "))
}

fn figures_of(tally: &Tally) -> Vec<[String; 6]> {
    let rows = tally.measures.iter().map(|(what, measure)| {
        let mut sorted = measure.values.clone();
        sorted.sort_by(f64::total_cmp);
        let most = sorted.last().copied().unwrap_or_default();
        let verdict = match measure.promised {
            None => "",
            Some(_) if measure.missed() => "MISSED",
            Some(_) => "met",
        };
        [
            format!("{}: {what}", tally.name),
            number(sorted[sorted.len() / 2]),
            number(most),
            sorted.len().to_string(),
            measure
                .promised
                .map_or(String::new(), |promised| format!("<= {}", number(promised))),
            verdict.to_owned(),
        ]
    });
    rows.collect()
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if at == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&format!("|-{}-|\n", rule.join("-|-")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_says_what_it_is_worth() {
        assert_eq!(bound(200, 0), "0 of 200: < 1.50 % at 95 %");
        assert_eq!(bound(200, 2), "2 of 200");
        assert_eq!(bound(0, 0), "nothing was tried");
    }

    #[test]
    fn a_trial_that_was_not_reached_is_named_and_does_not_count() {
        let mut tally = Tally::new("kill");
        tally.tried("1", true);
        (2..14).for_each(|n| tally.tried(&n.to_string(), false));
        let text = table(&[tally.clone()]);
        assert_eq!(tally.trials, 1);
        assert!(
            text.contains("kill: 12 not reached: 2; 3; 4; 5; 6; 7; 8; 9; 10; 11; and more"),
            "{text}"
        );
    }

    #[test]
    fn the_table_names_the_worst_value_and_whether_the_promise_was_kept() {
        let mut tally = Tally::new("kill");
        tally.trials = 2;
        for took in [1, 12, 3] {
            tally.measure("takeover", Duration::from_secs(took), Some(10.0));
        }
        tally.broke("3", [Violation::new("I1", "stuck")]);
        let text = table(&[tally]);
        let line = text.lines().find(|line| line.contains("takeover")).unwrap();
        let cells: Vec<&str> = line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["kill: takeover, s", "3", "12", "3", "<= 10", "MISSED"]);
        assert!(text.contains("VIOLATION kill / 3: I1: stuck"), "{text}");
    }

    #[test]
    fn a_promise_that_was_missed_once_is_not_held() {
        let mut tally = Tally::new("kill");
        tally.measure("engine restart", Duration::from_secs(60), None);
        tally.measure("takeover", Duration::from_secs(10), Some(10.0));
        assert!(tally.holds());
        tally.measure("takeover", Duration::from_millis(10_001), Some(10.0));
        assert!(tally.missed() && !tally.holds());
    }

    #[test]
    fn what_the_tally_took_is_not_told_again() {
        let (stuck, lost) = (Violation::new("I1", "stuck"), Violation::new("I1", "lost"));
        let mut tally = Tally::new("kill");
        assert_eq!(tally.untold(vec![stuck.clone()]).len(), 1);
        tally.broke("1", [stuck.clone()]);
        assert!(!tally.holds());
        assert_eq!(tally.untold(vec![stuck, lost.clone()]), [lost]);
    }
}
