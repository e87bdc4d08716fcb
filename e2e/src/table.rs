//! The table that is printed.

/// One line: what was measured, the values, the floor's values if there is one, and what is aimed at.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// What Windlass took.
    pub values: Vec<f64>,
    /// What the floor took, in the same rounds.
    pub floor: Vec<f64>,
    /// The most that it should be: the value itself, or what it is over the floor where there is one.
    pub target: f64,
}

/// The median.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn spread(values: &[f64]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.0} [{least:.0}..{most:.0}]", median(values))
}

impl Row {
    /// What counts against the target: the value, or what it is over the floor, round by round.
    fn result(&self) -> f64 {
        if self.floor.is_empty() {
            return median(&self.values);
        }
        let over: Vec<f64> = self
            .values
            .iter()
            .zip(&self.floor)
            .map(|(value, floor)| value - floor)
            .collect();
        median(&over)
    }

    fn cells(&self) -> [String; 6] {
        let over = if self.floor.is_empty() || self.values.is_empty() {
            String::new()
        } else {
            format!("{:+.0}", self.result())
        };
        let sign = if self.floor.is_empty() { "<= " } else { "floor + " };
        let verdict = match self.values[..] {
            [] => "not seen",
            _ if self.result() <= self.target => "met",
            _ => "MISSED",
        };
        [
            self.what.clone(),
            spread(&self.values),
            spread(&self.floor),
            over,
            format!("{sign}{:.0}", self.target),
            verdict.to_owned(),
        ]
    }
}

/// Prints the rows beneath their headings, in columns.
pub(crate) fn print(rows: &[Row]) {
    let head = ["median [min..max]", "Windlass", "floor", "over floor", "target", ""].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    for (n, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = width(column);
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        println!("| {} |", cells.join(" | "));
        if n == 0 {
            let rule: Vec<String> = (0..6).map(|column| "-".repeat(width(column))).collect();
            println!("|-{}-|", rule.join("-|-"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_neither_met_nor_missed() {
        let row = |values: &[f64]| Row {
            what: "takeover, ms".to_owned(),
            values: values.to_vec(),
            floor: Vec::new(),
            target: 10.0,
        };
        let verdict = |values: &[f64]| row(values).cells()[5].clone();
        assert_eq!(
            [verdict(&[]), verdict(&[10.0]), verdict(&[11.0])],
            ["not seen", "met", "MISSED"]
        );
    }
}
