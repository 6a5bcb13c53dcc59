//! What hooks return, checked and turned into words of ours: nothing that a guest says is taken as it comes.

use super::generated::types;
use crate::mail::{EnhancedCode, Line, Reply, Verdict};

/// The result of `on-load`, as the engine checks it.
pub type LoadAnswer = (Result<(), String>,);

const MAX_REPLY_LINES: usize = 20;
const MAX_REPLY_LINE: usize = 400;
const MAX_REASON: usize = 1000;

/// The verdict, or what is wrong with it.
pub fn verdict(answer: types::Verdict) -> Result<Verdict, String> {
    Ok(match answer {
        types::Verdict::Continue => Verdict::Continue,
        types::Verdict::Accept => Verdict::Accept,
        types::Verdict::Discard => Verdict::Discard,
        types::Verdict::Reject(answer) => Verdict::Reject(reply("reject", 5, answer)?),
        types::Verdict::Tempfail(answer) => Verdict::Tempfail(reply("tempfail", 4, answer)?),
        types::Verdict::Quarantine(reason) => {
            if reason.len() > MAX_REASON {
                return Err(format!(
                    "quarantine: the reason is {} octets long, the limit is {MAX_REASON}",
                    reason.len()
                ));
            }
            Verdict::Quarantine(Line::lossy(&reason).into())
        }
    })
}

fn reply(verdict: &str, class: u16, answer: types::Reply) -> Result<Reply, String> {
    let types::Reply {
        code,
        enhanced: (first, subject, detail),
        lines,
    } = answer;
    if code / 100 != class {
        return Err(format!(
            "{verdict} with code {code}: it must be {class}00 to {class}99"
        ));
    }
    // RFC 3463 §2: three digits at the most for subject and detail.
    if u16::from(first) != class || subject > 999 || detail > 999 {
        return Err(format!(
            "{verdict} with enhanced code {first}.{subject}.{detail}: it must be {class}.X.Y, X and Y up to 999, as the code is {code}"
        ));
    }
    if lines.is_empty() || lines.len() > MAX_REPLY_LINES {
        return Err(format!(
            "{verdict} with {} lines: it must have 1 to {MAX_REPLY_LINES}",
            lines.len()
        ));
    }
    let line = |text: String| {
        if text.len() > MAX_REPLY_LINE {
            return Err(format!(
                "{verdict} with a line of {} octets: the limit is {MAX_REPLY_LINE}",
                text.len()
            ));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(format!("{verdict} with a line that holds {c:?}"));
        }
        Line::new(text).map_err(|error| format!("{verdict}: a line: {error}"))
    };
    Ok(Reply {
        code,
        enhanced: Some(EnhancedCode(first, subject, detail)),
        lines: lines.into_iter().map(line).collect::<Result<_, _>>()?,
        limit: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, enhanced: (u8, u16, u16), lines: &[&str]) -> types::Reply {
        types::Reply {
            code,
            enhanced,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        }
    }

    #[test]
    fn replies_must_agree_with_the_verdict() {
        let long = "x".repeat(401);
        let table = [
            (answer(550, (5, 7, 1), &["no"]), true),
            (answer(550, (5, 999, 999), &["a", "b"]), true),
            (answer(450, (5, 7, 1), &["no"]), false),
            (answer(250, (2, 0, 0), &["fine"]), false),
            (answer(5500, (5, 7, 1), &["no"]), false),
            (answer(550, (4, 7, 1), &["no"]), false),
            (answer(550, (5, 1000, 1), &["no"]), false),
            (answer(550, (5, 7, 1), &[]), false),
            (answer(550, (5, 7, 1), &["no\r\n250 yes"]), false),
            (answer(550, (5, 7, 1), &["no\u{7}"]), false),
            (answer(550, (5, 7, 1), &[&long]), false),
            (answer(550, (5, 7, 1), &["x"; 21]), false),
        ];
        for (reply, fine) in table {
            let text = format!("{reply:?}");
            assert_eq!(
                verdict(types::Verdict::Reject(reply)).is_ok(),
                fine,
                "{text}"
            );
        }
        let tempfail = types::Verdict::Tempfail(answer(451, (4, 7, 1), &["later"]));
        assert!(verdict(tempfail).is_ok());
        let reject = types::Verdict::Tempfail(answer(550, (5, 7, 1), &["no"]));
        assert!(verdict(reject).unwrap_err().contains("must be 400 to 499"));
    }
}
