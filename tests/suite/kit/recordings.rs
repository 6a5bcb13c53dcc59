//! Cases with recordings: the world that a filter meets is the one that its case describes, faults and all.

use super::*;

/// A case whose text before and after its envelope is this.
fn recorded(folder: &Path, head: &str, rest: &str) {
    case(folder, "one", "");
    let text = format!(
        "{head}\n[envelope]\nsender = \"bob@example.org\"\nrecipients = [\"alice@example.test\"]\n\n{rest}"
    );
    fs::write(folder.join("cases/one.toml"), text).unwrap();
}

/// What a failed case logged, with what it was expected to be: a symbol that nobody gives.
fn logged(folder: &Path, head: &str, tables: &str) -> Vec<String> {
    recorded(
        folder,
        head,
        &format!("{tables}\n[expect]\nsymbols = [\"NONE\"]\n"),
    );
    let output = plugin(&["test", path(folder)], 1);
    let text = stdout(&output);
    assert!(
        !text.contains("failures") && !text.contains("not recorded"),
        "{text}"
    );
    let lines = text.lines();
    let logged = lines.filter_map(|line| line.trim().strip_prefix("logged info: "));
    logged.map(str::to_owned).collect()
}

#[test]
fn services_answer_as_recorded() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        r#"message = ["dns a MAIL.example.org.", "dns mx example.org", "dns txt none.example.org", "dns ptr 192.0.2.7",
            "dns listed bl.example 192.0.2.7", "web POST https://api.example.com/check a casino", "web GET https://api.example.com/list/7",
            "web GET https://api.example.com/list/8", "kv increment seen 1", "kv get name", "now"]
            [capabilities]
            http = ["api.example.com:443"]"#,
    );
    let tables = r#"
[dns.A]
"mail.example.org" = ["192.0.2.7", "192.0.2.8"]
"7.2.0.192.bl.example" = "127.0.0.2"
[dns.MX]
"example.org" = ["10 mail.example.org"]
[dns.TXT]
"none.example.org" = []
[dns.PTR]
"192.0.2.7" = "mail.example.org"

[[http]]
request = "POST https://api.example.com/check"
request-contains = "lottery"
status = 500
[[http]]
request = "POST https://api.example.com/check"
request-contains = "casino"
body = "spam"
[[http]]
request = "GET https://api.example.com/list/*"
status = 404
headers = { Content-Type = "text/plain", X-Twice = ["1", "2"] }

[kv]
seen = 41
name = "value"
"#;
    let logged = logged(&folder, "clock = \"2026-11-23T12:00:00Z\"\n", tables);
    assert_eq!(
        logged,
        [
            "Ok([192.0.2.7, 192.0.2.8])",
            "Ok([(10, \"mail.example.org\")])",
            "Ok([])",
            "Ok([\"mail.example.org\"])",
            "Ok([\"127.0.0.2\"])",
            "200 spam",
            "404",
            "404",
            "Ok(42)",
            "Ok(Some(\"value\"))",
            "1795435200",
        ]
    );
}

#[test]
fn what_is_kept_afterwards_is_expected_and_blessed() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        r#"message = ["kv increment seen 1", "kv set-for 60 new x", "kv delete old"]"#,
    );
    let start = "[kv]\nseen = 1\nold = \"x\"\nbinary = { base64 = \"/w==\" }\n\n";
    let good = "[expect]\nkv = { binary = { base64 = \"/w==\" }, new = \"x\", seen = 2 }\n";
    recorded(&folder, "", &format!("{start}{good}"));
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
    let bad = "[expect]\nkv = { seen = \"3\" }\n";
    recorded(&folder, "", &format!("{bad}\n{start}"));
    said(
        &plugin(&["test", path(&folder)], 1),
        &[
            "kv\n      - seen = \"3\"\n      + binary = { base64 = \"/w==\" }\n      + new = \"x\"\n      + seen = \"2\"",
        ],
    );
    plugin(&["test", path(&folder), "--bless"], 0);
    let blessed = fs::read_to_string(folder.join("cases/one.toml")).unwrap();
    assert!(blessed.ends_with(&format!("\n{start}")), "{blessed}");
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
    // The filter keeps nothing of one case for the next.
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
}

#[test]
fn faults_are_met_and_are_no_failure_of_the_case() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        r#"message = ["dns a slow.example", "dns a good.example", "web GET https://api.example.com/", "kv set a b", "kv get a"]
            [capabilities]
            http = ["api.example.com:443"]"#,
    );
    let answers = "[dns.A]\n\"good.example\" = \"192.0.2.1\"\n[[http]]\nrequest = \"GET https://api.example.com/\"\n";
    let met = logged(
        &folder,
        "",
        &format!("{answers}[faults]\ndns = {{ \"slow.example\" = \"timeout\" }}\nkv = \"full\"\n"),
    );
    assert!(
        met[0].contains("Failed") && met[0].contains("no answer within 1 s"),
        "{met:?}"
    );
    assert_eq!(met[1..3], ["Ok([192.0.2.1])", "200"]);
    assert!(
        met[3].contains("TooMuch") && met[4] == "Ok(None)",
        "{met:?}"
    );
    let met = logged(
        &folder,
        "",
        &format!("{answers}fault = \"refused\"\n[faults]\ndns = \"servfail\"\nkv = \"failed\"\n"),
    );
    assert!(
        met[0].contains("SERVFAIL") && met[1].contains("SERVFAIL"),
        "{met:?}"
    );
    assert!(met[2].starts_with("error: "), "{met:?}");
    assert!(
        met[3].contains("Failed") && met[4].contains("Failed"),
        "{met:?}"
    );
    let met = logged(
        &folder,
        "",
        "[faults]\ndns = \"timeout\"\nhttp = \"timeout\"\n",
    );
    assert!(met[2].starts_with("error: "), "{met:?}");
}

#[test]
fn what_is_not_recorded_fails_the_case_with_the_line_to_add() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        r#"message = ["dns mx example.org", "dns mx example.org", "web GET https://api.example.com/x"]
            [capabilities]
            http = ["api.example.com:443"]"#,
    );
    recorded(&folder, "", "[expect]\n");
    // Nor is it blessed.
    for arguments in [
        &["test", path(&folder)][..],
        &["test", path(&folder), "--bless"],
    ] {
        let output = plugin(arguments, 1);
        said(
            &output,
            &[
                "not recorded\n      + DNS MX example.org: under [dns.MX] add  \"example.org\" = [\"…\"]  or [] for none\n      \
                 + HTTP GET https://api.example.com/x: add  [[http]]  with  request = \"GET https://api.example.com/x\"",
            ],
        );
        assert!(!stdout(&output).contains("failures"), "{}", stdout(&output));
    }
    recorded(
        &folder,
        "",
        "[dns.MX]\n\"example.org\" = []\n[[http]]\nrequest = \"GET https://api.example.com/x\"\n[expect]\n",
    );
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
}
