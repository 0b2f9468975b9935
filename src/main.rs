//! The `tawny` program.
use clap::Parser;
#[derive(Parser)]
struct Cli { #[command(flatten)] args: tawny::commands::detect::DetectArgs }
fn main() {
    let cli = Cli::parse();
    if let Err(error) = tawny::commands::detect::run(&Default::default(), &cli.args) { eprintln!("{error}"); std::process::exit(i32::from(error.exit_code())) }
}
