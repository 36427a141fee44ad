//! `config print`: the configuration that `run` would use, and who said each value.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Off;
use crate::config::flags::ConfigFlags;
use crate::config::print;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::KubeFlags;
use crate::flags::variables::variable;

/// Arguments of `config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ConfigCommand {
    /// Print the merged configuration that `run` would use, and where each value comes from
    Print(PrintArgs),
}

/// Arguments of `config print`.
#[derive(Args, Clone, Debug)]
struct PrintArgs {
    #[command(flatten)]
    flags: ConfigFlags,
    /// Format of the output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// YAML that can be used as it is, with the origin of each value in comments; addresses that may be secrets are not
    /// shown whole
    Yaml,
    /// JSON
    Json,
}

impl ConfigArgs {
    /// Takes these switches for off.
    pub fn switch_off(&mut self, off: Off) {
        let ConfigCommand::Print(args) = &mut self.command;
        args.flags.switch_off(off);
    }
}

/// Prints the configuration.
///
/// # Errors
/// If it cannot be meant, or cannot be printed.
pub fn run(args: &ConfigArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let ConfigCommand::Print(args) = &args.command;
    let merged = args.flags.load(kube, variable)?;
    match args.output {
        Format::Yaml => console.print(&print::yaml(&merged))?,
        Format::Json => console.line(&format!("{:#}", print::json(&merged)))?,
    }
    Ok(Exit::Done)
}
