//! OpenDKIM's `miltertest`, which plays a mail server by a script: another reading of the protocol than ours.

use super::*;
use crate::support;

const SCRIPT: &str = r#"
local socket = os.getenv("MILTER")
local connection = mt.connect(socket)
assert(connection, "no connection")
mt.negotiate(connection, 6, nil, nil)
local function answer(what, wanted)
  local found = mt.getreply(connection)
  assert(found == wanted, what .. ": " .. string.char(found))
end
assert(mt.conninfo(connection, "mail.client.test", "192.0.2.7") == nil)
answer("connect", SMFIR_CONTINUE)
assert(mt.helo(connection, "mail.client.test") == nil)
answer("helo", SMFIR_CONTINUE)
for number = 1, 3 do
  mt.macro(connection, SMFIC_MAIL, "i", "Q" .. number)
  assert(mt.mailfrom(connection, "<a@client.test>") == nil)
  answer("mail", SMFIR_CONTINUE)
  assert(mt.rcptto(connection, "<alice@example.test>") == nil)
  answer("rcpt", SMFIR_CONTINUE)
  assert(mt.rcptto(connection, "<bob@example.test>") == nil)
  answer("refused rcpt", SMFIR_REPLYCODE)
  assert(mt.header(connection, "Subject", "hello") == nil)
  assert(mt.header(connection, "X-Gone", "1") == nil)
  assert(mt.bodystring(connection, "Hello.\r\n") == nil)
  
  assert(mt.eom(connection) == nil)
  answer("end", SMFIR_CONTINUE)
  assert(mt.eom_check(connection, MT_HDRADD, "X-A", " 1"), "no X-A")
  assert(mt.eom_check(connection, MT_HDRINSERT, "X-Top", " inserted"), "no X-Top")
  assert(mt.eom_check(connection, MT_HDRDELETE, "X-Gone"), "X-Gone is there")
  assert(not mt.eom_check(connection, MT_BODYCHANGE), "the body was changed")
end
mt.disconnect(connection)
"#;

/// A version that there is none of, clients that vanish at every stage, an unknown command, a message broken off; then one as it should be.
const ABUSE: &str = r#"
local socket = os.getenv("MILTER")
local function open()
  local connection = mt.connect(socket)
  assert(connection, "no connection")
  return connection
end
local old = open()
assert(mt.negotiate(old, 1, nil, nil) ~= nil, "version 1 is not refused")
mt.disconnect(old, false)
for stage = 0, 6 do
  local connection = open()
  local function at(number, step)
    if stage >= number then step() end
  end
  at(1, function() mt.negotiate(connection, 6, nil, nil) end)
  at(2, function() mt.conninfo(connection, "mail.client.test", "192.0.2.7") end)
  at(3, function() mt.mailfrom(connection, "<a@client.test>") end)
  at(4, function() mt.rcptto(connection, "<alice@example.test>") end)
  at(5, function() mt.header(connection, "Subject", "gone") end)
  at(6, function() mt.bodystring(connection, "Hello.\r\n") end)
  mt.disconnect(connection, false)
end
local connection = open()
mt.negotiate(connection, 6, nil, nil)
assert(mt.conninfo(connection, "mail.client.test", "192.0.2.7") == nil)
assert(mt.mailfrom(connection, "<a@client.test>") == nil)
assert(mt.rcptto(connection, "<alice@example.test>") == nil)
assert(mt.header(connection, "Subject", "gone") == nil)
assert(mt.abort(connection) == nil)
mt.macro(connection, SMFIC_MAIL, "i", "Q9")
assert(mt.mailfrom(connection, "<a@client.test>") == nil)
assert(mt.rcptto(connection, "<alice@example.test>") == nil)
assert(mt.header(connection, "Subject", "hello") == nil)
assert(mt.eom(connection) == nil)
assert(mt.getreply(connection) == SMFIR_CONTINUE, "the end")
mt.disconnect(connection)
"#;

/// Against this server; false where there is no miltertest.
async fn play(server: &Server, script: &str) -> bool {
    let Some(mut miltertest) = support::program("miltertest") else {
        return false;
    };
    let address = server.address(Protocol::Milter);
    let address = format!("\"inet:{}@{}\"", address.port(), address.ip());
    let path = server.home.path().join("script.lua");
    std::fs::write(&path, script.replace("os.getenv(\"MILTER\")", &address)).unwrap();
    miltertest.arg("-s").arg(&path);
    support::run(miltertest).await;
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_miltertest_runs_through() {
    let server = scripted(
        r#"
        rcpt = ["for bob@example.test reject 550 5 no"]
        message = ["add X-A 1", "insert X-Top", "remove X-Gone"]
        "#,
    )
    .await;
    if !play(&server, SCRIPT).await {
        return;
    }
    for id in ["Q1", "Q2", "Q3"] {
        assert_eq!(journal(&server, id).await.subject.as_deref(), Some("hello"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_miltertest_breaks_off_harms_nobody() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    if play(&server, ABUSE).await {
        assert_eq!(
            journal(&server, "Q9").await.subject.as_deref(),
            Some("hello")
        );
    }
}
