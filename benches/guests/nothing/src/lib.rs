//! A filter that does nothing: what it costs is what any filter costs.

use wasmilter_sdk::{Verdict, export};

export!(message = check);

fn check() -> Verdict {
    Verdict::Continue
}
