//! Neither a kill nor a full disk loses what is in quarantine, nor doubles what leaves it.

use super::Rig;
use crate::support::{ALICE, process};

const GUARD: [(&str, &str); 1] = [("guard", r#"message = ["quarantine looks odd"]"#)];
const MESSAGES: usize = 30;

#[tokio::test]
async fn a_kill_loses_and_doubles_nothing() {
    let mut rig = Rig::new(&GUARD, "").await;
    for number in 0..MESSAGES {
        // Some are small and go into the index, some are large and go into a file of their own.
        let lines = if number % 5 == 0 { 4_000 } else { 1 };
        let body = "Nothing may be lost.\r\n".repeat(lines);
        rig.send(&[ALICE], &format!("Subject: {number}\r\n\r\n{body}"));
    }
    rig.kill();
    // A killed server's quarantine can be read, and the next one has it.
    assert_eq!(rig.ids().len(), MESSAGES);
    let ids: Vec<String> = rig.ids().iter().map(u64::to_string).collect();
    rig.start();
    let file = rig.file();
    let releases = std::thread::spawn(move || {
        let config = ["--config", file.to_str().unwrap()];
        for ids in ids.chunks(3) {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            process::run(
                &[&["quarantine", "release", "--original"], &ids[..], &config].concat(),
                "",
            );
        }
    });
    while rig.ids().len() > MESSAGES / 2 {
        std::thread::yield_now();
    }
    rig.kill();
    releases.join().unwrap();
    rig.start();
    let waiting = rig.list();
    let mut subjects: Vec<String> = waiting
        .iter()
        .map(|entry| entry["subject"].as_str().unwrap().to_owned())
        .collect();
    let mail = rig.mail(ALICE, "INBOX");
    assert!(!mail.is_empty());
    for message in &mail {
        let (_, rest) = message.split_once("\r\nSubject: ").unwrap();
        subjects.push(rest.lines().next().unwrap().to_owned());
    }
    subjects.sort_by_key(|subject| subject.parse::<usize>().unwrap());
    let all: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(subjects, all);
    for entry in &waiting {
        rig.done(&["quarantine", "release", &entry["id"].to_string()]);
    }
    assert_eq!(rig.mail(ALICE, "INBOX").len(), MESSAGES);
}
