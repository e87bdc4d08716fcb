//! `windlass completion` and `windlass man`: what the program says about itself.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::{generate, shells};

use crate::{
    args::{Cli, Shell},
    error::CliError,
    output::Output,
};

pub fn completion(out: &Output, shell: Shell) -> Result<(), CliError> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "windlass", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "windlass", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "windlass", &mut script),
        Shell::PowerShell => generate(shells::PowerShell, &mut command, "windlass", &mut script),
    }
    out.exact(String::from_utf8_lossy(&script).trim_end())
}

pub fn man(out: &Output, directory: Option<&Path>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::failure(format!("cannot write the man pages: {error}"));
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(failed)?;
        return out.exact(String::from_utf8_lossy(&page).trim_end());
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    out.done(&format!("wrote the man pages to {}", directory.display()));
    Ok(())
}
