//! A filter that some mail keeps busy: some 25 ms for each message of a sender whose address begins with "heavy".

use std::hint::black_box;
use wasmilter_sdk::{Verdict, envelope, export};

export!(message = check);

fn check() -> Verdict {
    if envelope::sender().to_string().starts_with("heavy") {
        (0..40_000_000_u64).fold(1, |sum: u64, n| {
            black_box(sum.wrapping_mul(31).wrapping_add(n))
        });
    }
    Verdict::Continue
}
