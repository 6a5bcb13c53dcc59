use clap::Subcommand;
#[derive(Debug, Subcommand)]
pub enum Plugin {
    List,
}
impl Plugin {
    pub async fn run(self) -> anyhow::Result<std::process::ExitCode> {
        Ok(std::process::ExitCode::SUCCESS)
    }
}
