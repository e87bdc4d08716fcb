//! Prints the reference of the command line: `cargo run -p windlass-cli --example cli-reference > docs/reference/cli.md`.

fn main() {
    print!("{}", windlass_cli::reference::markdown());
}
