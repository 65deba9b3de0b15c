//! Two exact tests, and no more of them than the comparison needs: the probability of what was seen, or worse, if both
//! fleets are alike.

/// The natural logarithm of n!: exact up to 255 by summing, then Stirling's series, whose first term left out is below
/// 1e-15 from there on: NIST Digital Library of Mathematical Functions, 5.11.1, <https://dlmf.nist.gov/5.11>.
#[allow(clippy::cast_precision_loss)] // counts of requests are far below 2^52
fn ln_factorial(n: u64) -> f64 {
    if n < 256 {
        return (2..=n).map(|i| (i as f64).ln()).sum();
    }
    let x = n as f64;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1_260.0 * x.powi(5));
    (x + 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Fisher's exact test, one-sided: how probable it is that of all errors so many or more fall to `new`, if an error is as
/// likely there as elsewhere: the hypergeometric distribution's upper tail. The counts of requests are given as they are, so
/// it is valid however few errors there are: R. A. Fisher, "The Logic of Inductive Inference", J. R. Stat. Soc. 98 (1935).
///
/// Each is (errors, requests), errors being at most requests.
#[allow(clippy::cast_precision_loss)] // as above
pub(super) fn fisher(new: (u64, u64), live: (u64, u64)) -> f64 {
    let (errors, requests) = (new.0 + live.0, new.1 + live.1);
    let most = errors.min(new.1);
    let first = ln_choose(new.1, new.0) + ln_choose(live.1, live.0) - ln_choose(requests, errors);
    // So far below what is to be expected that the first term is none in a float, all but all of it is above.
    if first < -700.0 && new.0 * requests < errors * new.1 {
        return 1.0;
    }
    // Each term from the one before it; from the mode on they only become smaller.
    let (mut term, mut sum) = (first.exp(), 0.0);
    for k in new.0..=most {
        sum += term;
        if k == most {
            break;
        }
        let ratio = (new.1 - k) as f64 / (k + 1) as f64 * (errors - k) as f64
            / (live.1 + k + 1 - errors) as f64;
        term *= ratio;
        if ratio < 1.0 && term < sum * 1e-17 {
            break;
        }
    }
    sum.min(1.0)
}

/// The test of Mann and Whitney, exact and one-sided: how probable it is that values of `new` are that much larger than those
/// of `live`, if any order of them all is as likely as another. Nothing is asked of their distribution, and one wild value
/// counts as one. Equal values count for `live`, so that they never make it look worse than it is.
///
/// H. B. Mann, D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other",
/// Ann. Math. Stat. 18 (1947).
#[allow(clippy::cast_precision_loss)] // as above
pub(super) fn mann_whitney(new: &[f64], live: &[f64]) -> f64 {
    let pairs = new.len() * live.len();
    // Pairs in which the new one is not the slower one.
    let against: usize = new
        .iter()
        .map(|new| live.iter().filter(|live| new <= live).count())
        .sum();
    if pairs == 0 || against * 2 >= pairs {
        return 1.0;
    }
    let (m, n) = (new.len(), live.len());
    let orders: f64 = (1..=m).map(|i| (n + i) as f64 / i as f64).product();
    orders_up_to(m, n, against) / orders
}

/// In how many of all orders of m and n values at most so many pairs are the other way round: the coefficients of the Gaussian
/// binomial, which is the product of (1 - q^(n+i)) / (1 - q^i), summed.
fn orders_up_to(m: usize, n: usize, most: usize) -> f64 {
    let mut counts = vec![0.0; most + 1];
    counts[0] = 1.0;
    for i in 1..=m {
        for degree in i..=most {
            counts[degree] += counts[degree - i];
        }
        for degree in (n + i..=most).rev() {
            counts[degree] -= counts[degree - n - i];
        }
    }
    counts.iter().sum()
}

/// Of a sorted or unsorted list; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle - 1)?, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: f64, expected: f64) {
        let tolerance = expected.abs() * 1e-9 + 1e-15;
        assert!(
            (found - expected).abs() <= tolerance,
            "{found} is not {expected}"
        );
    }

    #[test]
    fn logarithms_of_factorials_are_those_that_are_published() {
        near(ln_factorial(0), 0.0);
        near(ln_factorial(10), 3_628_800_f64.ln());
        // Abramowitz and Stegun, table 6.4: 100! and 1000!.
        near(
            ln_factorial(100),
            9.332_621_544_394_41_f64.ln() + 157.0 * 10_f64.ln(),
        );
        near(
            ln_factorial(1_000),
            4.023_872_600_770_94_f64.ln() + 2_567.0 * 10_f64.ln(),
        );
        // Both ways meet.
        near(ln_factorial(256), ln_factorial(255) + 256_f64.ln());
    }

    #[test]
    fn fishers_test_gives_what_is_published() {
        // Fisher's tea: all four cups right is one of 70, three or more 17 of 70.
        near(fisher((4, 4), (0, 4)), 1.0 / 70.0);
        near(fisher((3, 4), (1, 4)), 17.0 / 70.0);
        // Fisher's twins: 10 of 13 identical ones and 2 of 17 others: 619/1330665.
        near(fisher((10, 13), (2, 17)), 619.0 / 1_330_665.0);
        near(fisher((0, 100), (5, 900)), 1.0);
        near(fisher((0, 40_000), (30_000, 40_000)), 1.0);
        // As R has it: fisher.test(matrix(c(49, 1155, 24, 11816), 2), alternative = "greater") is below 1e-30.
        assert!(fisher((49, 1_204), (24, 11_840)) < 1e-30);
    }

    #[test]
    fn the_test_of_mann_and_whitney_gives_what_is_published() {
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        near(mann_whitney(&high, &low), 1.0 / 252.0);
        // Their table I: for 3 and 3 the probabilities of U at most 0, 1, 2, 3 are .05, .10, .20, .35.
        for (new, expected) in [
            ([4.0, 5.0, 6.0], 0.05),
            ([3.0, 5.0, 6.0], 0.10),
            ([2.0, 5.0, 6.0], 0.20),
        ] {
            let live: Vec<f64> = (1..=6)
                .map(f64::from)
                .filter(|x| !new.contains(x))
                .collect();
            near(mann_whitney(&new, &live), expected);
        }
        // For 8 and 8, U at most 15 is .041 (rounded).
        near(
            (orders_up_to(8, 8, 15) / orders_up_to(8, 8, 64) * 1e3).round(),
            41.0,
        );
        near(orders_up_to(8, 8, 64), 12_870.0);
        // Equal values say nothing, and nothing at all says nothing.
        near(mann_whitney(&[1.0; 9], &[1.0; 9]), 1.0);
        near(mann_whitney(&[], &[1.0]), 1.0);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    proptest! {
        #[test]
        fn fishers_test_is_a_probability_and_falls_with_every_error(
            (n, a) in (1_u64..3_000).prop_flat_map(|n| (Just(n), 0..n)),
            (m, b) in (1_u64..3_000).prop_flat_map(|m| (Just(m), 0..=m)),
        ) {
            let (fewer, more) = (fisher((a, n), (b, m)), fisher((a + 1, n), (b, m)));
            prop_assert!((0.0..=1.0).contains(&fewer) && more <= fewer * (1.0 + 1e-9), "{fewer} {more}");
        }

        #[test]
        fn both_tails_of_fishers_test_share_what_was_seen(
            (n, a) in (1_u64..400).prop_flat_map(|n| (Just(n), 0..=n)),
            (m, b) in (1_u64..400).prop_flat_map(|m| (Just(m), 0..=m)),
        ) {
            let seen = (ln_choose(n, a) + ln_choose(m, b) - ln_choose(n + m, a + b)).exp();
            let both = fisher((a, n), (b, m)) + fisher((b, m), (a, n));
            prop_assert!((both - 1.0 - seen).abs() < 1e-9, "{both} {seen}");
        }

        #[test]
        fn ranks_are_all_that_counts(values in proptest::collection::vec(0.001_f64..9.0, 4..40), split in 1_usize..3) {
            let (new, live) = values.split_at(values.len() / (split + 1));
            let stretch = |values: &[f64]| values.iter().map(|x| x.exp() * 7.0).collect::<Vec<_>>();
            let stretched = mann_whitney(&stretch(new), &stretch(live));
            prop_assert!((mann_whitney(new, live) - stretched).abs() < 1e-12);
        }
    }
}
