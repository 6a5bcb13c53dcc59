//! A plugin that does nothing, to measure others against: each of its hooks says `continue` at once. Made here, in no language.

use crate::mail::Hooks;
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

const CONTRACT: &str = include_str!("../../sdk/wit/filter.wit");
/// Where what the host hands over is put; what it is answered lies at 0.
const SCRATCH: i32 = 1024;

/// A core module with these hooks and the section that makes it a component. An error is a fault of this program.
pub fn empty(hooks: Hooks) -> Result<Vec<u8>, String> {
    make(hooks).ok_or_else(|| "the contract has no such hooks".to_owned())?
}

fn make(hooks: Hooks) -> Option<Result<Vec<u8>, String>> {
    let mut resolve = Resolve::default();
    let contract = resolve.push_str("filter.wit", CONTRACT).ok()?;
    let mut exports = String::new();
    for hook in hooks.iter() {
        let package = resolve.packages.get(contract)?;
        package.interfaces.get(&format!("on-{hook}"))?;
        let name = package.name.interface_id(&format!("on-{hook}"));
        exports.push_str(&format!("export {name};\n"));
    }
    let world = format!("package wasmilter:empty;\nworld empty {{\n{exports}}}\n");
    let package = resolve.push_str("empty.wit", &world).ok()?;
    let world = resolve.select_world(&[package], Some("empty")).ok()?;
    let mut module = module(&resolve, world)?;
    let described = embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8);
    Some(match described {
        Ok(()) => Ok(module),
        Err(error) => Err(format!("{error:#}")),
    })
}

fn module(resolve: &Resolve, world: WorldId) -> Option<Vec<u8>> {
    let mut types = TypeSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();
    let mut count = 0;
    let mut add = |name: &str, params: Vec<ValType>, results: Vec<ValType>, value: i32| {
        let mut body = Function::new([]);
        for _ in &results {
            body.instructions().i32_const(value);
        }
        body.instructions().end();
        types.ty().function(params, results);
        functions.function(count);
        exports.export(name, ExportKind::Func, count);
        code.function(&body);
        count += 1;
    };
    add(
        "cabi_realloc",
        vec![ValType::I32; 4],
        vec![ValType::I32],
        SCRATCH,
    );
    for (key, item) in &resolve.worlds.get(world)?.exports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = resolve.name_world_key(key);
        for (name, function) in &resolve.interfaces.get(*id)?.functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            let kinds = |kinds: &[WasmType]| kinds.iter().map(kind).collect();
            add(
                &format!("{interface}#{name}"),
                kinds(&signature.params),
                kinds(&signature.results),
                0,
            );
        }
    }
    let mut memory = MemorySection::new();
    memory.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    exports.export("memory", ExportKind::Memory, 0);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memory)
        .section(&exports)
        .section(&code);
    Some(module.finish())
}

fn kind(kind: &WasmType) -> ValType {
    match kind {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Hook;
    use crate::plugin::inspect;

    #[test]
    fn it_has_the_hooks_that_are_wanted_and_asks_for_nothing() {
        let module = empty(Hook::ALL.into_iter().collect()).unwrap();
        let found = inspect(&module).unwrap();
        assert_eq!(found.hooks.len(), Hook::ALL.len());
        assert!(found.asks.is_empty(), "{:?}", found.asks);
    }
}
