//! Links what writes SQLite's log in few pieces; see `src/store/sqlite/log.c`.

use crate::Result;
use std::env;

pub fn link() -> Result<()> {
    const SOURCE: &str = "src/store/sqlite/log.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let header = env::var("DEP_SQLITE3_INCLUDE")
        .map_err(|_| "libsqlite3-sys does not say where SQLite's header lies")?;
    cc::Build::new()
        .file(SOURCE)
        .include(header)
        // Nothing refers to it: it registers itself.
        .link_lib_modifier("+whole-archive")
        .try_compile("wasmilter_log")?;
    Ok(())
}
