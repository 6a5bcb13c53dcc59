//! Text of strangers on a terminal: nothing in it moves the cursor, changes colours or turns the line around.

use serde::Serialize;
use unicode_width::UnicodeWidthChar;

/// Columns, where the output is no terminal.
const WIDTH: usize = 100;

/// Columns to fill: at least 80, and no more than can be read in one look.
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0).clamp(80, 160))
}

/// Several lines; what would control the terminal shows as U+FFFD.
pub fn lines(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => c,
        '\t' => ' ',
        c if is_control(c) => '\u{FFFD}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Prints several lines.
pub fn print(text: &str) {
    print!("{}", lines(text));
}

/// Prints it as JSON, which stays what it is: what would control the terminal is written as an escape.
pub fn print_json(value: &impl Serialize) -> serde_json::Result<()> {
    println!("{}", escaped(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// serde_json leaves those characters as they are that are none of ASCII's.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c != '\n' && is_control(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// One line of no more than these columns.
pub fn fit(text: &str, columns: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    let text = lines(text).replace('\n', " ");
    let mut rest = text.trim().chars().peekable();
    while let Some(c) = rest.next() {
        let width = c.width().unwrap_or(0);
        let room = columns.saturating_sub(used);
        if width > room || (width == room && rest.peek().is_some()) {
            out.push('…');
            break;
        }
        out.push(c);
        used += width;
    }
    out
}

/// The same, filled up with spaces.
pub fn column(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    let used: usize = out.chars().filter_map(UnicodeWidthChar::width).sum();
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    out
}

fn is_control(c: char) -> bool {
    // Controls, and what changes the direction of writing (UAX #9).
    c.is_control()
        || matches!(
            c,
            '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{2028}' | '\u{2029}'
        )
        || ('\u{202A}'..='\u{202E}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// 5s, 3m, 2h, 9d.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// 512, 12K, 3.4M.
pub fn size(octets: u64) -> String {
    match octets {
        0..1_024 => octets.to_string(),
        1_024..1_048_576 => format!("{}K", octets.div_ceil(1_024)),
        _ => format!("{:.1}M", octets as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(
            lines("a\x1b[2Jb\rc\u{9b}d\u{202e}e\nf"),
            "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}d\u{FFFD}e\nf"
        );
        assert_eq!(fit("a\nb", 10), "a b");
        let text = "a\x1b\x7f\u{9b}\u{202e}\n";
        let json = escaped(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(
            !json.chars().any(|c| c != '\n' && is_control(c)),
            "{json:?}"
        );
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }

    #[test]
    fn columns_are_as_wide_as_they_look() {
        for (text, columns, shown) in [
            ("short", 6, "short "),
            ("exactly", 7, "exactly"),
            ("much too long", 6, "much …"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日… "),
            ("", 2, "  "),
        ] {
            assert_eq!(column(text, columns), shown, "{text} {columns}");
        }
    }

    #[test]
    fn ages_and_sizes_are_short() {
        assert_eq!(
            [age(-5), age(59), age(60), age(90_000), age(200_000)],
            ["0s", "59s", "1m", "25h", "2d"]
        );
        assert_eq!([size(0), size(1_025), size(3_670_016)], ["0", "2K", "3.5M"]);
    }
}
