//! Median, least and greatest of a figure over the rounds.

/// Median, least and greatest of some values; not-a-number where there are none.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
}

impl Spread {
    /// Of these values.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, minimum: at(0), maximum: at(last) }
    }

    /// The median, and the others in parentheses.
    pub fn show(self, digits: usize) -> String {
        if self.median.is_nan() {
            return "-".into();
        }
        format!("{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.minimum, self.maximum)
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_stands_between_the_extremes() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0].into_iter()).show(0), "2 (1-3)");
        assert_eq!(Spread::of([1.0, 2.0].into_iter()).show(1), "1.5 (1.0-2.0)");
        assert_eq!(Spread::of(std::iter::empty()).show(0), "-");
    }
}
