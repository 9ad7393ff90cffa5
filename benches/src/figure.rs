//! Figures and how they are printed: a table for people, JSON for programs.

use serde::Serialize;

/// One measured figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What was aimed at, and whether it was reached.
    pub(crate) aim: Option<Aim>,
    /// How it came about: percentiles, counts, processor time.
    pub(crate) detail: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Aim {
    pub(crate) text: String,
    pub(crate) is_met: bool,
}

impl Figure {
    pub(crate) fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, aim: None, detail: String::new() }
    }

    /// The value should not be above this.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        let text = format!("<= {}", number(most));
        self.aim = Some(Aim { text, is_met: self.value <= most });
        self
    }

    /// The value should not be below this.
    pub(crate) fn at_least(mut self, least: f64) -> Self {
        let text = format!(">= {}", number(least));
        self.aim = Some(Aim { text, is_met: self.value >= least });
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// One line of the table.
    pub(crate) fn line(&self) -> String {
        let (aim, verdict) = match &self.aim {
            Some(aim) => (aim.text.as_str(), if aim.is_met { "met" } else { "missed" }),
            None => ("", ""),
        };
        let value = number(self.value);
        let (name, unit, detail) = (self.name, self.unit, &self.detail);
        format!("{name:<44} {value:>10} {unit:<8} {aim:>10} {verdict:<7} {detail}")
            .trim_end()
            .into()
    }
}

/// A number with as many digits as mean something.
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
    fn an_aim_is_met_or_missed() {
        let met = |figure: Figure| figure.aim.map(|aim| aim.is_met);
        assert_eq!(met(Figure::new("a", 1.0, "ms").at_most(1.0)), Some(true));
        assert_eq!(met(Figure::new("a", 1.1, "ms").at_most(1.0)), Some(false));
        assert_eq!(met(Figure::new("a", 1.1, "ms").at_least(1.2)), Some(false));
        assert_eq!(met(Figure::new("a", 1.1, "ms")), None);
    }

    #[test]
    fn numbers_keep_what_means_something() {
        assert_eq!(number(40_000.4), "40000");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.123), "0.12");
    }
}
