//! Imports that a language's toolchain brings and the plugin never calls: linked, so that it loads without being granted them, and ending
//! the call if it uses them all the same. Knows nothing of grants.

use super::capability::Ability;
use super::state::State;
use std::collections::BTreeSet;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

/// A linker in which what the manifest calls unused is there to be linked, and ends the call if it is used all the same.
pub fn trapping(
    linker: &Linker<State>,
    component: &Component,
    unused: &BTreeSet<Ability>,
) -> wasmtime::Result<Linker<State>> {
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    let kind = component.component_type();
    for (import, item) in kind.imports(component.engine()) {
        // What is empty stays so: start-up code of toolchains looks for directories.
        let ability = Ability::of_import(import)
            .filter(|ability| unused.contains(ability) && !ability.is_empty());
        let (Some(ability), ComponentItem::ComponentInstance(interface)) = (ability, item.ty)
        else {
            continue;
        };
        let mut instance = linker.instance(import)?;
        for (name, export) in interface.exports(component.engine()) {
            // Its resources stay what they are, for other interfaces name them too; nothing is left that could make one.
            if let ComponentItem::ComponentFunc(_) = export.ty {
                let text = format!(
                    "it calls {import}#{name}, but its plugin.toml says that {} is unused",
                    ability.name()
                );
                instance.func_new(name, move |_, _, _, _| {
                    Err(wasmtime::Error::msg(text.clone()))
                })?;
            }
        }
    }
    Ok(linker)
}
