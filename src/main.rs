//! The wasmilter program: see `wasmilter --help`.

fn main() -> std::process::ExitCode {
    wasmilter::cli::run()
}
