//! Compiles this crate again when a migration was added: `sqlx::migrate!` embeds the folder and cannot see that by itself.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
