//! Compiles the program of the gate, for this crate to hold. It is not an ordinary binary of the workspace: it has to be linked
//! statically, which cargo cannot be told for one binary, and it is needed while another crate is compiled.

use std::{ffi::OsString, path::Path, process::Command};

const SOURCES: [&str; 2] = ["src/program.rs", "src/state.rs"];

fn main() {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let out = Path::new(&told("OUT_DIR")).join("gate");
    let mut rustc = Command::new(told("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-name", "windlass_gate_program"])
        .arg("--target")
        .arg(told("TARGET"))
        .args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"])
        .args(["-C", "opt-level=s", "-C", "lto=fat", "-C", "codegen-units=1"])
        .args(["-C", "panic=abort", "-C", "strip=symbols"])
        .arg("-o")
        .arg(&out)
        .arg(SOURCES[0]);
    if let Some(linker) = asked("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let compiled = rustc.status().is_ok_and(|status| status.success());
    assert!(
        compiled,
        "the gate's program cannot be compiled: it is linked statically, for which the C library's libc.a has to be installed \
         (Debian and Ubuntu: libc6-dev, Fedora: glibc-static)"
    );
}

fn told(name: &str) -> OsString {
    asked(name).unwrap_or_else(|| panic!("cargo sets {name} for a build script"))
}

#[expect(clippy::disallowed_methods, reason = "this is how cargo speaks to a build script")]
fn asked(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
