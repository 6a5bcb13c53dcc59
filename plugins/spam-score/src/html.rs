//! Reads HTML as mail has it: the text that a reader sees, the links, and the tricks. One pass, for tag soup.
//! No parser of the standard and no CSS but `style` attributes: what a style sheet hides counts as seen.

use crate::text::{contains, starts_with};

#[derive(Debug, Default)]
pub struct Html {
    pub visible: String,
    pub links: Vec<Link>,
    /// Addresses of pictures and form targets: where the message leads without a click on a link.
    pub other: Vec<String>,
    pub images: usize,
    /// Characters in elements that are not shown.
    pub hidden: usize,
    /// Characters in white.
    pub white: usize,
    /// There is a background that is not white, so that white text may be honest.
    pub dark: bool,
    /// Comments and empty elements inside of words.
    pub splits: usize,
    /// ASCII letters written as character references.
    pub encoded: usize,
    pub forms: usize,
    pub scripts: usize,
    /// Huge or red letters.
    pub gaudy: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    pub href: String,
    pub text: String,
}

/// Open elements that are remembered; deeper ones count as their parents do.
const DEPTH: usize = 128;

#[derive(Clone, Copy, Default)]
struct Look {
    hidden: bool,
    white: bool,
}

struct Reader<'a> {
    out: Html,
    open: Vec<(&'a str, Look)>,
    look: Look,
    /// The link that is open: its index and where its text begins in `visible`.
    link: Option<(usize, usize)>,
    /// Name of the element that was opened last, with nothing after it yet, inside of a word.
    empty: Option<&'a str>,
}

pub fn read(html: &str) -> Html {
    let mut reader = Reader {
        out: Html::default(),
        open: Vec::new(),
        look: Look::default(),
        link: None,
        empty: None,
    };
    reader.out.visible.reserve(html.len() / 2);
    let mut rest = html;
    while let Some((text, after)) = rest.split_once('<') {
        reader.text(text);
        rest = reader.markup(after);
    }
    reader.text(rest);
    reader.close_link();
    reader.out
}

impl<'a> Reader<'a> {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.empty = None;
        if self.look.hidden {
            self.out.hidden += text.chars().filter(|c| !c.is_whitespace()).count();
            return;
        }
        let before = self.out.visible.len();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('&') {
            self.out.visible.push_str(plain);
            rest = self.reference(after);
        }
        self.out.visible.push_str(rest);
        if self.look.white {
            self.out.white += self.out.visible.len() - before;
        }
    }

    /// A character reference, from behind its "&". Those that are not known are left as they are.
    fn reference<'t>(&mut self, text: &'t str) -> &'t str {
        let end = text
            .bytes()
            .take(10)
            .position(|b| !b.is_ascii_alphanumeric() && b != b'#')
            .unwrap_or(text.len().min(10));
        let name = text.get(..end).unwrap_or_default();
        let c = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            "nbsp" => Some(' '),
            _ => name.strip_prefix('#').and_then(number),
        };
        let Some(c) = c else {
            self.out.visible.push('&');
            return text;
        };
        if name.starts_with('#') && c.is_ascii_alphabetic() {
            self.out.encoded += 1;
        }
        self.out.visible.push(c);
        let after = text.get(end..).unwrap_or_default();
        after.strip_prefix(';').unwrap_or(after)
    }

    /// A comment, a declaration or a tag, from behind its "<"; gives what follows it.
    fn markup(&mut self, text: &'a str) -> &'a str {
        if let Some(comment) = text.strip_prefix("!--") {
            let after = comment.split_once("-->").map_or("", |(_, after)| after);
            if self.within_word(after) {
                self.out.splits += 1;
            }
            return after;
        }
        let name_end = text
            .bytes()
            .position(|b| !b.is_ascii_alphanumeric() && b != b'/' && b != b'!' && b != b'?')
            .unwrap_or(text.len());
        let name = text.get(..name_end).unwrap_or_default();
        if name.is_empty() {
            // A "<" that is only a "<".
            self.text("<");
            return text;
        }
        let (attributes, after) = tag_end(text.get(name_end..).unwrap_or_default());
        if let Some(name) = name.strip_prefix('/') {
            self.close(name, after);
            return after;
        }
        let name = name.trim_end_matches('/');
        if ["script", "style", "title"]
            .iter()
            .any(|raw| raw.eq_ignore_ascii_case(name))
        {
            if name.eq_ignore_ascii_case("script") {
                self.out.scripts += 1;
            }
            return skip_raw(after, name);
        }
        self.open(name, attributes, after);
        after
    }

    fn open(&mut self, name: &'a str, attributes: &'a str, after: &str) {
        self.empty = None;
        if is_block(name) {
            self.gap();
        } else if self.within_word_or_tag(after) {
            self.empty = Some(name);
        }
        let mut look = self.look;
        let (mut href, mut source, mut action) = (None, None, None);
        for (key, value) in Attributes(attributes) {
            match key {
                k if k.eq_ignore_ascii_case("href") => href = Some(value),
                k if k.eq_ignore_ascii_case("src") => source = Some(value),
                k if k.eq_ignore_ascii_case("action") => action = Some(value),
                k if k.eq_ignore_ascii_case("style") => self.style(value, &mut look),
                k if k.eq_ignore_ascii_case("bgcolor") || k.eq_ignore_ascii_case("background") => {
                    self.out.dark |= !is_white(value);
                }
                k if k.eq_ignore_ascii_case("color") => {
                    look.white = is_white(value);
                    if is_red(value) {
                        self.out.gaudy += 1;
                    }
                }
                k if k.eq_ignore_ascii_case("size") && name.eq_ignore_ascii_case("font") => {
                    if matches!(
                        value.trim(),
                        "5" | "6" | "7" | "+2" | "+3" | "+4" | "+5" | "+6"
                    ) {
                        self.out.gaudy += 1;
                    }
                }
                k if k.eq_ignore_ascii_case("hidden") => look.hidden = true,
                _ => {}
            }
        }
        match name {
            n if n.eq_ignore_ascii_case("a") || n.eq_ignore_ascii_case("area") => {
                if let Some(href) = href {
                    self.close_link();
                    self.link = Some((self.out.links.len(), self.out.visible.len()));
                    self.out.links.push(Link {
                        href: decode(href),
                        text: String::new(),
                    });
                }
            }
            n if n.eq_ignore_ascii_case("img") => {
                self.out.images += 1;
                self.out.other.extend(source.map(decode));
            }
            n if n.eq_ignore_ascii_case("form") => {
                self.out.forms += 1;
                self.out.other.extend(action.map(decode));
            }
            _ => {}
        }
        if !is_void(name) && !attributes.ends_with('/') && self.open.len() < DEPTH {
            self.open.push((name, self.look));
            self.look = look;
        }
    }

    fn close(&mut self, name: &str, after: &str) {
        if is_block(name) {
            self.gap();
        }
        if self
            .empty
            .take()
            .is_some_and(|open| open.eq_ignore_ascii_case(name))
            && self.within_word(after)
        {
            self.out.splits += 1;
        }
        if name.eq_ignore_ascii_case("a") {
            self.close_link();
        }
        // What was opened within it and not closed is closed with it.
        if let Some(at) = self
            .open
            .iter()
            .rposition(|(open, _)| open.eq_ignore_ascii_case(name))
        {
            if let Some((_, look)) = self.open.get(at) {
                self.look = *look;
            }
            self.open.truncate(at);
        }
    }

    fn close_link(&mut self) {
        let Some((index, from)) = self.link.take() else {
            return;
        };
        if let (Some(link), Some(text)) =
            (self.out.links.get_mut(index), self.out.visible.get(from..))
        {
            link.text = text.trim().to_owned();
        }
    }

    fn style(&mut self, style: &str, look: &mut Look) {
        for declaration in style.split(';') {
            let Some((property, value)) = declaration.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match property.trim() {
                p if p.eq_ignore_ascii_case("display") => look.hidden |= starts_with(value, "none"),
                p if p.eq_ignore_ascii_case("visibility") => {
                    look.hidden |= starts_with(value, "hidden")
                }
                p if p.eq_ignore_ascii_case("font-size") => look.hidden |= is_tiny(value),
                p if p.eq_ignore_ascii_case("opacity") => look.hidden |= value == "0",
                p if p.eq_ignore_ascii_case("color") => {
                    look.white = is_white(value);
                    if is_red(value) {
                        self.out.gaudy += 1;
                    }
                }
                p if starts_with(p, "background") => {
                    self.out.dark |= !is_white(value)
                        && !contains(value, "transparent")
                        && !contains(value, "none");
                }
                _ => {}
            }
        }
    }

    fn gap(&mut self) {
        if !self.look.hidden && !self.out.visible.ends_with(['\n', ' ']) {
            self.out.visible.push('\n');
        }
    }

    fn within_word(&self, after: &str) -> bool {
        !self.look.hidden
            && self.out.visible.ends_with(char::is_alphanumeric)
            && after.starts_with(char::is_alphanumeric)
    }

    fn within_word_or_tag(&self, after: &str) -> bool {
        self.out.visible.ends_with(char::is_alphanumeric) && after.starts_with("</")
    }
}

fn number(text: &str) -> Option<char> {
    match text.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
    .and_then(char::from_u32)
}

/// Splits at the ">" that ends a tag, passing over those in quotes.
fn tag_end(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => {
                return (
                    text.get(..at).unwrap_or_default(),
                    text.get(at + 1..).unwrap_or_default(),
                );
            }
            // Only after "=": an apostrophe elsewhere is no quote.
            (None, b'"' | b'\'')
                if text
                    .get(..at)
                    .is_some_and(|before| before.trim_end().ends_with('=')) =>
            {
                quote = Some(byte);
            }
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    // A quote that is never closed: the tag ends at the first ">".
    text.split_once('>').unwrap_or((text, ""))
}

/// What follows the end tag of an element whose content is no HTML.
fn skip_raw<'t>(text: &'t str, name: &str) -> &'t str {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("</") {
        if starts_with(after, name) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

struct Attributes<'t>(&'t str);

impl<'t> Iterator for Attributes<'t> {
    type Item = (&'t str, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self
            .0
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if text.is_empty() {
            return None;
        }
        let end = text
            .find(|c: char| c.is_ascii_whitespace() || c == '=')
            .unwrap_or(text.len());
        let (key, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let rest = rest.trim_start();
        let Some(rest) = rest.strip_prefix('=') else {
            self.0 = rest;
            return Some((key, ""));
        };
        let rest = rest.trim_start();
        let (value, rest) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = rest.get(1..).unwrap_or_default();
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            _ => rest
                .split_once(|c: char| c.is_ascii_whitespace())
                .unwrap_or((rest, "")),
        };
        self.0 = rest;
        Some((key, value))
    }
}

/// An attribute's value with its character references decoded.
fn decode(value: &str) -> String {
    if !value.contains('&') {
        return value.trim().to_owned();
    }
    let mut reader = Reader {
        out: Html::default(),
        open: Vec::new(),
        look: Look::default(),
        link: None,
        empty: None,
    };
    reader.text(value.trim());
    reader.out.visible
}

fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 27] = [
        "p",
        "br",
        "div",
        "td",
        "tr",
        "th",
        "li",
        "ul",
        "ol",
        "table",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "center",
        "blockquote",
        "pre",
        "body",
        "html",
        "head",
        "form",
        "input",
        "dt",
        "dd",
    ];
    BLOCKS.iter().any(|block| block.eq_ignore_ascii_case(name))
}

fn is_void(name: &str) -> bool {
    // A list item is seldom closed, and seldom hides anything.
    const VOID: [&str; 13] = [
        "br", "img", "hr", "input", "meta", "link", "area", "base", "col", "wbr", "li", "!doctype",
        "?xml",
    ];
    VOID.iter().any(|void| void.eq_ignore_ascii_case(name))
}

fn is_white(colour: &str) -> bool {
    let colour = colour.trim().trim_matches(['"', '\'']);
    [
        "white",
        "#fff",
        "#ffffff",
        "ffffff",
        "#fefefe",
        "rgb(255,255,255)",
        "rgb(255, 255, 255)",
    ]
    .iter()
    .any(|white| colour.eq_ignore_ascii_case(white))
}

fn is_red(colour: &str) -> bool {
    let colour = colour.trim();
    ["red", "#f00", "#ff0000", "ff0000"]
        .iter()
        .any(|red| colour.eq_ignore_ascii_case(red))
}

/// 0 or 1 pixel or point.
fn is_tiny(size: &str) -> bool {
    let digits = size
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(size.len());
    let (number, unit) = size.split_at_checked(digits).unwrap_or((size, ""));
    let unit = unit.trim();
    number.parse::<f32>().is_ok_and(|number| {
        number == 0.0 || (number <= 1.0 && (starts_with(unit, "px") || starts_with(unit, "pt")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text() {
        for (html, visible) in [
            ("<p>Hello <b>you</b></p>", "Hello you\n"),
            ("Vi<b></b>agra", "Viagra"),
            ("a<!-- x > y -->b", "ab"),
            (
                "&lt;a&gt; &amp; &#118;&#x69; &unknown; &",
                "<a> & vi &unknown; &",
            ),
            (
                "<style>p{color:red}</style>x<script>if(a<b){}</script>y",
                "xy",
            ),
            (
                "<div style=\"display:none\">hidden<b>too</b></div>seen",
                "seen",
            ),
            ("1 < 2 <3", "1 < 2 "),
            ("<a title=\"a > b\">x</a>", "x"),
            ("<p class=\"never closed>x", "x"),
            ("<", "<"),
            ("<!doctype html><html>", ""),
        ] {
            assert_eq!(
                read(html).visible.trim_start_matches('\n'),
                visible,
                "{html:?}"
            );
        }
    }

    #[test]
    fn tricks_are_counted() {
        let html = read(
            "Vi<b></b>ag<!-- q -->ra <font color=#FFFFFF size=7>white</font><form action=x><div style='font-size: 0px'>zero</div>",
        );
        assert_eq!(
            (html.splits, html.white, html.forms, html.hidden, html.gaudy),
            (2, 5, 1, 4, 1)
        );
        assert!(!html.dark);
        assert!(read("<td bgcolor=navy>").dark);
        assert!(!read("<body bgcolor=\"#FFFFFF\" style=\"background: white\">").dark);
        assert_eq!(read("<b>bold</b> <i>in</i>line wo<b>r</b>d").splits, 0);
    }

    #[test]
    fn links_keep_their_text() {
        let html = read(
            "<A HREF = 'http://a.example/?x=1&amp;y=2'>go <b>there</b></a> and <a href=http://b.example>on",
        );
        let expected = [
            ("http://a.example/?x=1&y=2", "go there"),
            ("http://b.example", "on"),
        ];
        let links: Vec<_> = html
            .links
            .iter()
            .map(|link| (link.href.as_str(), link.text.as_str()))
            .collect();
        assert_eq!(links, expected);
    }
}
