//! A report as JUnit XML, which build servers read. Writes no file.

use super::suite::{CaseEnd, CaseReport, Report};
use std::fmt::Write as _;

pub fn junit(report: &Report) -> String {
    let plugin = escaped(&report.plugin);
    let seconds: f64 = report
        .cases
        .iter()
        .map(|case| case.elapsed.as_secs_f64())
        .sum();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.3}\"",
        report.cases.len(),
        report.failed(),
        report.malformed()
    );
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<testsuites {counts}>");
    let _ = writeln!(out, "  <testsuite name=\"{plugin}\" {counts}>");
    for case in &report.cases {
        test_case(&mut out, &plugin, case);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn test_case(out: &mut String, plugin: &str, case: &CaseReport) {
    let _ = write!(
        out,
        "    <testcase classname=\"{plugin}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&case.name),
        case.elapsed.as_secs_f64()
    );
    let (element, message, text) = match &case.end {
        CaseEnd::Passed | CaseEnd::Blessed(_) => {
            out.push_str("/>\n");
            return;
        }
        CaseEnd::Failed(differences) => {
            let names: Vec<_> = differences.iter().map(|d| d.what.as_str()).collect();
            let text: String = differences.iter().map(ToString::to_string).collect();
            ("failure", format!("differs in {}", names.join(", ")), text)
        }
        CaseEnd::Malformed(why) => ("error", why.clone(), String::new()),
    };
    let _ = write!(
        out,
        ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>\n",
        escaped(&message),
        escaped(&text)
    );
}

/// XML 1.0 §2.2 allows no control characters but tab and line ends, whatever the escape.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::expect::Difference;
    use super::*;
    use std::time::Duration;

    #[test]
    fn failures_and_errors_are_told_apart() {
        let case = |name: &str, end| CaseReport {
            name: name.to_owned(),
            about: String::new(),
            end,
            symbols: Vec::new(),
            log: Vec::new(),
            elapsed: Duration::from_millis(2),
        };
        let difference = Difference {
            what: "header-added".to_owned(),
            expected: vec!["X: <a> & \"b\"\u{1}".to_owned()],
            found: Vec::new(),
        };
        let report = Report {
            plugin: "p".to_owned(),
            cases: vec![
                case("good", CaseEnd::Passed),
                case("bad", CaseEnd::Failed(vec![difference])),
                case(
                    "odd",
                    CaseEnd::Malformed("cases/odd.toml:1:1: no".to_owned()),
                ),
            ],
        };
        assert_eq!(
            junit(&report),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1" errors="1" time="0.006">
  <testsuite name="p" tests="3" failures="1" errors="1" time="0.006">
    <testcase classname="p" name="good" time="0.002"/>
    <testcase classname="p" name="bad" time="0.002">
      <failure message="differs in header-added">header-added
  - X: &lt;a&gt; &amp; &quot;b&quot;�
</failure>
    </testcase>
    <testcase classname="p" name="odd" time="0.002">
      <error message="cases/odd.toml:1:1: no"></error>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
