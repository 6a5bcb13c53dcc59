//! Core modules, as compilers without a component's linker leave them: the loader makes components of them.

use super::*;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Gives a symbol, and prints by preview 1 of WASI.
const MODULE: &str = r#"(module
    (import "wasmilter:filter/score@0.1.1" "add" (func $add (param i32 i32 f32 i32 i32 i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 8)
    (data (i32.const 100) "CORE")
    (data (i32.const 200) "made of a module")
    (data (i32.const 300) "hello from preview 1\n")
    (data (i32.const 400) "\2c\01\00\00\15\00\00\00")
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
        (i32.sub (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
    (func (export "wasmilter:filter/on-message@0.1.1#handle") (result i32)
        (call $add (i32.const 100) (i32.const 4) (f32.const 2.5) (i32.const 200) (i32.const 16) (i32.const 600))
        (drop (call $write (i32.const 1) (i32.const 400) (i32.const 1) (i32.const 500)))
        (i32.const 0)))"#;

/// What wit-bindgen leaves in a module that is bound to the contract.
fn described(mut module: Vec<u8>) -> Vec<u8> {
    let contract =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/wit/filter.wit"));
    let mut resolve = Resolve::default();
    resolve.push_str("filter.wit", &contract.unwrap()).unwrap();
    let world = "package test:filter; world filter { import wasmilter:filter/score@0.1.1; export wasmilter:filter/on-message@0.1.1; }";
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], Some("filter")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

#[test]
fn a_core_module_with_its_types_is_a_plugin() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "");
    fs::write(folder.join("plugin.toml"), "").unwrap();
    let wasm = folder.join("scripted.wasm");
    fs::write(&wasm, described(wat::parse_str(MODULE).unwrap())).unwrap();
    said(
        &plugin(&["inspect", path(&wasm)], 0),
        &[
            "asked at  on-message",
            "    wasmilter:filter/score@0.1.1",
            "    wasi:cli/stdout@",
        ],
    );
    said(
        &plugin(&["check", path(&folder)], 0),
        &["scripted", "hooks message", "a server loads it"],
    );
    case(&folder, "one", "[expect]\nsymbols = [\"CORE\"]\n");
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
    let message = folder.join("cases/one.eml");
    said(
        &plugin(&["run", path(&wasm), path(&message)], 0),
        &[
            "2.5  CORE  made of a module",
            "log info: hello from preview 1",
        ],
    );
    said(
        &plugin(&["bench", path(&wasm), path(&message), "--times", "5"], 0),
        &["message "],
    );
}

#[tokio::test]
async fn a_server_takes_a_core_module() {
    let server = support::Server::with("[plugins]\ndirectory = \"plugins\"\n", |home| {
        fs::create_dir(home.join("plugins")).unwrap();
        let module = described(wat::parse_str(MODULE).unwrap());
        fs::write(home.join("plugins/core.wasm"), module).unwrap();
    })
    .await;
    let filters = server.app.filters();
    assert!(filters[0].starts_with("core "), "{filters:?}");
}

#[test]
fn a_module_that_cannot_be_one_says_why() {
    let home = tempfile::tempdir().unwrap();
    let wasm = home.path().join("bad.wasm");
    let check = |bytes: &[u8], expected: &[&str]| {
        fs::write(&wasm, bytes).unwrap();
        for command in ["check", "inspect"] {
            said(&plugin(&[command, path(&wasm)], 1), expected);
        }
    };
    check(
        &wat::parse_str(MODULE).unwrap(),
        &[
            "without the section `component-type`",
            "cargo build --release --target wasm32-wasip2",
            "wasm-tools component embed",
        ],
    );
    // It says that it has a hook, and has not.
    check(
        &described(wat::parse_str("(module (memory (export \"memory\") 1))").unwrap()),
        &["cannot be made a component", "on-message"],
    );
    let whole = described(wat::parse_str(MODULE).unwrap());
    check(&whole[..whole.len() / 2], &["does not compile"]);
    let mut unknown = wat::parse_str("(module)").unwrap();
    unknown.extend(*b"\0\x0f\x0ecomponent-type");
    check(&unknown, &["cannot be made a component"]);
}
