//! Links what makes the C library's allocator give memory back into the program; see `allocator.c`. Other libraries than glibc need none.

use crate::Result;
use std::env;

pub fn link() -> Result<()> {
    const SOURCE: &str = "build/allocator.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if (target("OS").as_str(), target("ENV").as_str()) != ("linux", "gnu") {
        return Ok(());
    }
    let mut compiler = cc::Build::new();
    compiler.file(SOURCE).cargo_metadata(false);
    for object in compiler.try_compile_intermediates()? {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
    Ok(())
}
