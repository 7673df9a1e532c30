//! Medians, paired ratios and geometric means.

/// The ratios of paired measurements: the one in the middle, and how far they go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// The middle one, or the mean of the two in the middle; 0 for nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => (sorted[middle - 1] + value) / 2.0,
    }
}

/// `a / b`, round by round: what disturbs the machine in one round disturbs both.
pub fn paired(a: &[f64], b: &[f64]) -> Ratio {
    let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
    Ratio {
        median: median(&ratios),
        low: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        high: ratios.iter().copied().fold(0.0, f64::max),
    }
}

/// The same for many rounds, of which some are hit by something else: `low` and `high` are the quartiles.
pub fn paired_quartiles(a: &[f64], b: &[f64]) -> Ratio {
    let mut ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |quarter: usize| ratios.get(ratios.len() * quarter / 4).copied().unwrap_or(0.0);
    Ratio { median: median(&ratios), low: at(1), high: at(3) }
}

/// Nothing for no values.
pub fn geomean(values: &[f64]) -> Option<f64> {
    let logs: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logs / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn ratios_are_paired() {
        // The second round was twice as slow for both.
        let ratio = paired(&[1.0, 2.0, 1.5], &[2.0, 4.0, 2.0]);
        assert_eq!(ratio, Ratio { median: 0.5, low: 0.5, high: 0.75 });
    }

    #[test]
    fn quartiles_leave_outliers_out() {
        let ratio = paired_quartiles(&[1.0, 2.0, 3.0, 100.0], &[1.0; 4]);
        assert_eq!(ratio, Ratio { median: 2.5, low: 2.0, high: 100.0 });
        let ratio = paired_quartiles(&[9.0, 2.0, 3.0, 4.0, 100.0], &[1.0; 5]);
        assert_eq!(ratio, Ratio { median: 4.0, low: 3.0, high: 9.0 });
    }

    #[test]
    fn geomean_of_inverses_is_one() {
        assert!((geomean(&[0.25, 4.0]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(geomean(&[]), None);
    }
}
