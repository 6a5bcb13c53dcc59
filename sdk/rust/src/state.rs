//! What a filter prepares when it is loaded and reads at its hooks.

use std::sync::OnceLock;

/// A static that `load` fills and the hooks read.
///
/// ```
/// use wasmilter_sdk::{State, config, export, header, score};
///
/// #[derive(serde::Deserialize)]
/// struct Rules {
///     words: Vec<String>,
/// }
///
/// static RULES: State<Rules> = State::new();
///
/// export!(load = start, message = check);
///
/// fn start() -> Result<(), String> {
///     RULES.fill(config::read()?);
///     Ok(())
/// }
///
/// fn check() {
///     let subject = header::first("Subject").unwrap_or_default();
///     for word in RULES.get().words.iter().filter(|word| subject.contains(*word)) {
///         score::add("BAD_WORD", 2.0, &format!("the subject has {word:?}"));
///     }
/// }
/// ```
///
/// Random numbers drawn in `load`, such as the seeds of hash maps made there, are the same in every transaction. What hooks change behind it (a `RefCell`, say) lasts for the transaction: the next one starts from what `load` left.
#[derive(Debug)]
pub struct State<T>(OnceLock<T>);

impl<T> State<T> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The first value stays; filling it again does nothing.
    pub fn fill(&self, value: T) {
        let _ = self.0.set(value);
    }

    /// # Panics
    /// If `load` has not filled it.
    pub fn get(&self) -> &T {
        match self.0.get() {
            Some(value) => value,
            None => {
                panic!("this State is read before `load` has filled it: is `load` in export!()?")
            }
        }
    }
}

/// Memory that hooks find when they begin, in octets: enough for usual messages.
const ROOM: usize = 256 * 1024;

/// Called at the end of `load`: what is free then, hooks need not ask the engine for, which costs each transaction some microseconds.
#[doc(hidden)]
pub fn make_room() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(ROOM)));
}
