//! Rules about the parts of a message: attachments that nobody is to get, and text in front of its text.
//! Asks the host for nothing.

use super::{Config, Facts};

const NOTE: &str = "The attachment {name} was removed: files of this kind are not delivered.";

/// What the rules want to know of a part.
#[derive(Debug, Clone)]
pub struct Part {
    pub path: String,
    pub media_type: String,
    pub name: Option<String>,
    pub is_attachment: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartEdit {
    Drop {
        path: String,
        note: String,
    },
    Banner {
        path: String,
        is_html: bool,
        text: String,
    },
}

impl Config {
    /// Whether the parts of a message with these facts are of interest at all.
    pub fn wants_parts(&self, facts: &Facts, get: &dyn Fn(&str) -> Vec<String>) -> bool {
        !self.blocked_attachments.is_empty() || self.banner(facts, get).is_some()
    }

    pub fn part_edits(
        &self,
        facts: &Facts,
        parts: &[Part],
        get: &dyn Fn(&str) -> Vec<String>,
    ) -> Vec<PartEdit> {
        let mut edits = Vec::new();
        for part in parts {
            let name = part.name.as_deref().unwrap_or_default();
            if self.is_blocked(name) {
                let note = self.blocked_note.as_deref().unwrap_or(NOTE);
                edits.push(PartEdit::Drop {
                    path: part.path.clone(),
                    note: note.replace("{name}", name),
                });
            }
        }
        let Some(banner) = self.banner(facts, get) else {
            return edits;
        };
        // The first of each: what a mail program shows in front.
        for (media_type, is_html) in [("text/plain", false), ("text/html", true)] {
            let text = parts.iter().find(|part| {
                part.media_type == media_type
                    && !part.is_attachment
                    && !self.is_blocked(part.name.as_deref().unwrap_or_default())
            });
            edits.extend(text.map(|part| PartEdit::Banner {
                path: part.path.clone(),
                is_html,
                text: banner.clone(),
            }));
        }
        edits
    }

    fn banner(&self, facts: &Facts, get: &dyn Fn(&str) -> Vec<String>) -> Option<String> {
        let mut rules = self.rules.iter().filter(|rule| rule.banner.is_some());
        let rule = rules.find(|rule| rule.when.holds(facts, get))?;
        Some(self.fill(rule.banner.as_deref()?, facts))
    }

    fn is_blocked(&self, name: &str) -> bool {
        // Windows ignores dots and blanks at the end of a name.
        let name = name.trim_end_matches(['.', ' ']).to_lowercase();
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|ending| {
            let mut blocked = self.blocked_attachments.iter();
            blocked.any(|other| other.trim_start_matches('.').to_lowercase() == ending)
        })
    }
}

/// The text with the banner in front; none if it is there already.
pub fn with_banner(text: &str, banner: &str, is_html: bool) -> Option<String> {
    if !is_html {
        let banner = banner.trim_end();
        return (!text.contains(banner)).then(|| format!("{banner}\n\n{text}"));
    }
    let banner = banner.trim_end();
    let banner = banner
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\n', "<br>");
    if text.contains(&banner) {
        return None;
    }
    let banner = format!("<p style=\"border:1px solid;padding:4px\">{banner}</p>\n");
    // Inside the body, if it says where that begins.
    let lower = text.to_ascii_lowercase();
    let body = lower.find("<body").and_then(|start| {
        let end = lower.get(start..)?.find('>')?;
        Some(start + end + 1)
    });
    let (before, after) = text.split_at_checked(body.unwrap_or(0))?;
    Some(format!("{before}{banner}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(path: &str, media_type: &str, name: &str) -> Part {
        Part {
            path: path.to_owned(),
            media_type: media_type.to_owned(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            is_attachment: !name.is_empty(),
        }
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn names_are_blocked_by_their_ending() {
        let config = config("blocked-attachments = [\"exe\", \".JS\"]");
        for (name, blocked) in [
            ("a.exe", true),
            ("invoice.pdf.EXE", true),
            ("a.exe. ", true),
            ("a.js", true),
            ("exe", false),
            ("a.exe.txt", false),
            ("", false),
        ] {
            let edits = config.part_edits(&Facts::default(), &[part("2", "a/b", name)], &|_| {
                Vec::new()
            });
            assert_eq!(!edits.is_empty(), blocked, "{name:?}");
        }
    }

    #[test]
    fn a_banner_goes_in_front_of_the_texts_of_external_mail() {
        let config = config("[[rules]]\nwhen = { external = true }\nbanner = \"From outside\"");
        let parts = [
            part("1.1", "text/plain", ""),
            part("1.2", "text/html", ""),
            part("2", "text/plain", "a.txt"),
        ];
        let paths = |external| {
            let facts = Facts {
                external,
                ..Facts::default()
            };
            let edits = config.part_edits(&facts, &parts, &|_| Vec::new());
            edits.len()
        };
        assert_eq!((paths(true), paths(false)), (2, 0));
        for (text, is_html, expected) in [
            ("hello", false, Some("A <b>\n\nhello")),
            ("> A <b>", false, None),
            (
                "<BODY a=b>x",
                true,
                Some("<BODY a=b><p style=\"border:1px solid;padding:4px\">A &lt;b&gt;</p>\nx"),
            ),
        ] {
            assert_eq!(
                with_banner(text, "A <b>\n", is_html).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
