//! What a plugin may do: what it asks for by its imports, what its manifest narrows, what the operator grants. In force is what all
//! three allow. Runs nothing and links nothing.

mod ability;
mod asked;
mod file;
mod glob;
mod grants;
mod in_force;
mod narrowing;
mod write;

pub use ability::Ability;
pub use asked::{Asked, Declared};
pub use file::{Granting, GrantsFile};
pub use glob::Glob;
pub use grants::{Grants, Lacking};
pub use in_force::Capabilities;
pub use narrowing::{Fault, RawTable};
pub use write::Written;
