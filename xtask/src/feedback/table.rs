//! What was measured of a case, and whether it is as claimed.

use std::fmt;

use super::cases::{Case, Claim};
use crate::Failure;

/// The error with feedback, as a share of the one without, that is a success.
pub const RATIO_MAX: f64 = 1.0 / 3.0;

/// Means over the requests of one run, in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    prompt: f64,
    predicted: f64,
    reported: f64,
    error: f64,
    /// Of the second half.
    late_error: f64,
}

impl Measured {
    /// Reads what `conformance/feedback.py` prints.
    pub fn read(printed: &str) -> Result<Measured, Failure> {
        let words: Vec<&str> = printed.split_whitespace().collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name);
            let value = at.and_then(|at| words.get(at + 1)?.parse().ok());
            value.ok_or_else(|| format!("no number for `{name}` in: {printed}"))
        };
        Ok(Measured {
            prompt: value("prompt")?,
            predicted: value("predicted")?,
            reported: value("reported")?,
            error: value("error")?,
            late_error: value("late_error")?,
        })
    }
}

/// One case, measured without feedback and with it.
pub struct Row {
    /// Which.
    pub case: Case,
    /// A gateway that only measures.
    pub without: Measured,
    /// A gateway that learns.
    pub with: Measured,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.with.error / self.without.error.max(f64::MIN_POSITIVE)
    }

    fn is_as_claimed(&self) -> bool {
        self.case.claim == Claim::Nothing || self.ratio() <= RATIO_MAX
    }
}

/// What the columns of rows are.
pub const HEAD: &str = "\
mean tokens of a request                          without feedback                with feedback
                                        prompt  predicted  cached   error    predicted  cached   error    ratio  late";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (without, with) = (&self.without, &self.with);
        write!(
            f,
            "{:38}{:8.0}{:11.0}{:8.0}{:8.1}{:13.0}{:8.0}{:8.1}{:9.2}{:6.2}{}",
            self.case.name,
            with.prompt,
            without.predicted,
            without.reported,
            without.error,
            with.predicted,
            with.reported,
            with.error,
            self.ratio(),
            with.late_error / without.late_error.max(f64::MIN_POSITIVE),
            match (self.case.claim, self.is_as_claimed()) {
                (Claim::Nothing, _) => "  (not judged)",
                (_, true) => "",
                (_, false) => "  MISSED",
            }
        )
    }
}

/// Errs where a claim does not hold.
pub fn judge(rows: &[Row]) -> Result<(), Failure> {
    let missed = rows.iter().filter(|row| !row.is_as_claimed());
    let names: Vec<&str> = missed.map(|row| row.case.name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "does not hold: the error is above a third in: {}",
            names.join("; ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(claim: Claim, without: f64, with: f64) -> Row {
        let measured = |error| {
            let printed = format!("prompt 9 predicted 8 reported 7 error {error} late_error 1");
            Measured::read(&printed).unwrap()
        };
        Row {
            case: Case {
                name: "some case",
                pool: "",
                is_behind_door: false,
                claim,
            },
            without: measured(without),
            with: measured(with),
        }
    }

    #[test]
    fn a_third_is_enough_and_more_is_not_where_it_is_claimed() {
        let cases = [
            (Claim::Shrinks, 300.0, 100.0, true),
            (Claim::Shrinks, 300.0, 100.1, false),
            (Claim::Shrinks, 0.0, 1.0, false),
            (Claim::Nothing, 10.0, 20.0, true),
        ];
        for (claim, without, with, holds) in cases {
            let rows = [row(claim, without, with)];
            assert_eq!(judge(&rows).is_ok(), holds, "{claim:?} {without} {with}");
        }
        let rows = [row(Claim::Shrinks, 9.0, 1.0), row(Claim::Shrinks, 9.0, 9.0)];
        let failure = judge(&rows).unwrap_err();
        assert!(failure.contains("some case"), "{failure}");
    }

    #[test]
    fn a_figure_that_is_not_printed_is_a_failure() {
        let failure = Measured::read("prompt 9 predicted x reported 7").unwrap_err();
        assert!(failure.contains("`predicted`"), "{failure}");
    }
}
