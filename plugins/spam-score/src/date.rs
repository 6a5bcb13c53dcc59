//! Dates of header fields as seconds since 1970 (RFC 5322 §3.3, with the old forms of §4.3).
//! Not exact about calendars: days of a month are not checked against the month.

/// "Tue, 17 Nov 2026 19:42:08 +0100 (CET)" → seconds since 1970-01-01 00:00 UTC.
pub fn parse(text: &str) -> Option<i64> {
    let mut words = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty());
    let mut word = words.next()?;
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        word = words.next()?;
    }
    let day: i64 = word.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = month(words.next()?)?;
    let year = year(words.next()?)?;
    let mut time = words.next()?.split(':');
    let hour: i64 = time.next()?.parse().ok().filter(|h| (0..=24).contains(h))?;
    let minute: i64 = time.next()?.parse().ok().filter(|m| (0..=59).contains(m))?;
    let second: i64 = match time.next() {
        Some(second) => second.parse().ok().filter(|s| (0..=60).contains(s))?,
        None => 0,
    };
    let offset = words.next().and_then(zone).unwrap_or(0);
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

fn month(name: &str) -> Option<i64> {
    const NAMES: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let start = name.get(..3)?;
    let index = NAMES
        .iter()
        .position(|name| name.eq_ignore_ascii_case(start))?;
    i64::try_from(index).ok().map(|index| index + 1)
}

/// Two digits up to 49 are 20xx, from 50 on and three digits are added to 1900 (RFC 5322 §4.3).
fn year(text: &str) -> Option<i64> {
    let year: i64 = text.parse().ok()?;
    match (text.len(), year) {
        (2, 0..=49) => Some(year + 2000),
        (2 | 3, _) => Some(year + 1900),
        (_, 1900..=9999) => Some(year),
        _ => None,
    }
}

/// Seconds east of UTC. Names count as UTC but for those of North America (RFC 5322 §4.3).
fn zone(text: &str) -> Option<i64> {
    let hours = match text {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => {
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, text.strip_prefix('+')?),
            };
            let number: i64 = digits.parse().ok().filter(|n| (0..=2400).contains(n))?;
            return Some(sign * (number / 100 * 3_600 + number % 100 * 60));
        }
    };
    Some(hours * 3_600)
}

/// Days from 1970-01-01, in the proleptic Gregorian calendar: years are counted from March, so that the leap day is last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("Thu, 1 Jan 1970 00:00:00 +0000", Some(0)),
            ("Tue, 17 Nov 2026 19:42:08 +0100 (CET)", Some(1_794_940_928)),
            ("17 Nov 2026 18:42:08 GMT", Some(1_794_940_928)),
            ("Tue, 29 Feb 00 12:00 EST", Some(951_843_600)),
            ("Mon,  1 Mar 2100 00:00:00 -0000", Some(4_107_542_400)),
            ("yesterday", None),
            ("32 Nov 2026 00:00:00 +0000", None),
            ("17 Nov 2026 99:00:00 +0000", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
