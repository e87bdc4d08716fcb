//! Prints the API's description: `cargo run -p windlass-api --example openapi > docs/reference/openapi.json`.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", windlass_api::openapi().to_pretty_json()?);
    Ok(())
}
