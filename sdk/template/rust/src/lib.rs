//! Names messages whose subject speaks of a casino.

use wasmilter_sdk::{Verdict, export, header, score};

// Also: load, connect, mail, rcpt, deliver. A filter has the hooks that it names here.
export!(message = check);

fn check() -> Verdict {
    if header::get("Subject").iter().any(|s| s.contains("casino")) {
        score::add("CASINO", 4.0, "the subject names a casino");
    }
    Verdict::Continue
}
