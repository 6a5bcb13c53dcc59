//! Whether a new version of a plugin does as well as the one before it. Judges by figures and time that it is given; changes nothing.

use super::figures::Summary;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbationConfig {
    /// It ends when there were so many calls and so much time has passed. 0 calls: there is none.
    pub calls: u64,
    pub time: Duration,
    /// The share of calls that may fail, besides what failed of the version before.
    pub error_rate: f64,
    /// How many times as long as those of the version before its calls may take, by their median. 0: any.
    pub latency_factor: f64,
    /// By how much the share of a kind of verdict may differ from the version before. 1: any.
    pub verdict_change: f64,
}

impl Default for ProbationConfig {
    fn default() -> Self {
        Self {
            calls: 100,
            time: Duration::from_secs(600),
            error_rate: 0.05,
            latency_factor: 5.0,
            verdict_change: 0.3,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    GoesOn,
    Passed,
    /// It has left the budget, and how.
    Left(String),
}

/// Fewer calls tell nothing of a rate.
const LEAST: u64 = 20;
/// Faster than this is fast enough, whatever the factor.
const FAST_ENOUGH: Duration = Duration::from_millis(5);

/// `before`: the version that it replaced, if that was at work here.
pub fn judge(
    config: &ProbationConfig,
    now: &Summary,
    before: Option<&Summary>,
    elapsed: Duration,
) -> Judgement {
    let least = LEAST.min(config.calls);
    if now.telling() < least {
        return Judgement::GoesOn;
    }
    let percent = |rate: f64| format!("{:.1} %", rate * 100.0);
    let accepted = before.map_or(0.0, Summary::error_rate);
    if now.error_rate() > config.error_rate + accepted {
        return Judgement::Left(format!(
            "{} of {} calls failed; the budget is {}",
            now.own_failures(),
            now.telling(),
            percent(config.error_rate + accepted)
        ));
    }
    if let Some(before) = before.filter(|before| before.answered() >= least) {
        let most = before.median.mul_f64(config.latency_factor.clamp(0.0, 1e6));
        if config.latency_factor > 0.0
            && now.answered() >= least
            && now.median > most.max(FAST_ENOUGH)
        {
            return Judgement::Left(format!(
                "a call takes {} µs by the median, before it took {} µs; the budget is {} times that",
                now.median.as_micros(),
                before.median.as_micros(),
                config.latency_factor
            ));
        }
        // Few calls differ by chance.
        let change = now.verdict_change(before);
        if now.answered().min(before.answered()) >= config.calls && change > config.verdict_change {
            return Judgement::Left(format!(
                "a kind of verdict is {} more or less frequent than before; the budget is {}",
                percent(change),
                percent(config.verdict_change)
            ));
        }
    }
    if now.telling() >= config.calls && elapsed >= config.time {
        Judgement::Passed
    } else {
        Judgement::GoesOn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(calls: u64, failures: u64, rejected: u64, median: u64) -> Summary {
        Summary {
            calls,
            failures,
            median: Duration::from_millis(median),
            verdicts: [calls - failures - rejected, 0, rejected, 0, 0, 0],
            ..Summary::default()
        }
    }

    #[test]
    fn each_budget_is_judged() {
        let before = figures(1000, 0, 100, 10);
        let late = Duration::from_secs(601);
        let early = Duration::from_secs(5);
        let table = [
            (figures(10, 10, 0, 0), early, "goes on"),
            (figures(20, 1, 2, 10), early, "goes on"),
            (figures(20, 2, 0, 10), early, "2 of 20 calls failed"),
            (figures(100, 0, 10, 49), early, "goes on"),
            (figures(100, 0, 10, 51), early, "µs by the median"),
            (figures(99, 0, 50, 10), late, "goes on"),
            (figures(100, 0, 50, 10), late, "40.0 % more or less"),
            (figures(100, 0, 12, 10), early, "goes on"),
            (figures(100, 0, 12, 10), late, "passed"),
        ];
        for (now, elapsed, expected) in table {
            let found = match judge(&ProbationConfig::default(), &now, Some(&before), elapsed) {
                Judgement::GoesOn => "goes on".to_owned(),
                Judgement::Passed => "passed".to_owned(),
                Judgement::Left(why) => why,
            };
            assert!(found.contains(expected), "{now:?}: {found}");
        }
    }

    #[test]
    fn what_the_host_could_not_do_counts_neither_for_nor_against() {
        let config = ProbationConfig::default();
        let late = Duration::from_secs(601);
        let with_host = |host: u64, failures: u64| Summary {
            host,
            ..figures(100 + host, failures + host, 0, 1)
        };
        assert_eq!(
            judge(&config, &with_host(50, 5), None, late),
            Judgement::Passed
        );
        let short = Summary {
            host: 90,
            ..figures(100, 90, 0, 1)
        };
        assert_eq!(judge(&config, &short, None, late), Judgement::GoesOn);
        let left = judge(&config, &with_host(50, 6), None, late);
        assert!(
            matches!(&left, Judgement::Left(why) if why.contains("6 of 100 calls")),
            "{left:?}"
        );
    }

    #[test]
    fn without_a_forerunner_only_failures_count() {
        let config = ProbationConfig::default();
        let slow = figures(100, 0, 100, 1000);
        let late = Duration::from_secs(601);
        assert_eq!(judge(&config, &slow, None, late), Judgement::Passed);
        let bad = figures(100, 6, 0, 1);
        assert!(matches!(
            judge(&config, &bad, None, late),
            Judgement::Left(_)
        ));
        // A forerunner that failed as often is no reason to go back to it.
        assert_eq!(judge(&config, &bad, Some(&bad), late), Judgement::Passed);
    }
}
