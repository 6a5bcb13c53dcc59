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

#[tokio::test(flavor = "multi_thread")]
async fn a_script_of_miltertest_runs_through() {
    let Some(mut miltertest) = support::program("miltertest") else {
        return;
    };
    let server = scripted(
        r#"
        rcpt = ["for bob@example.test reject 550 5 no"]
        message = ["add X-A 1", "insert X-Top", "remove X-Gone"]
        "#,
    )
    .await;
    let script = server.home.path().join("script.lua");
    std::fs::write(
        &script,
        SCRIPT.replace("os.getenv(\"MILTER\")", &{
            let address = server.address(Protocol::Milter);
            format!("\"inet:{}@{}\"", address.port(), address.ip())
        }),
    )
    .unwrap();
    miltertest.arg("-s").arg(&script);
    support::run(miltertest).await;
    for id in ["Q1", "Q2", "Q3"] {
        assert_eq!(journal(&server, id).await.subject.as_deref(), Some("hello"));
    }
}
