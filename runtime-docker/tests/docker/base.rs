//! A base image of busybox and nothing else.

use bollard::{Docker, body_full, query_parameters::CreateImageOptionsBuilder};
use futures::TryStreamExt;

const APPLETS: [&str; 13] = [
    "cat", "echo", "httpd", "nc", "nslookup", "printf", "sed", "seq", "sh", "sleep", "tail", "timeout", "usleep",
];

fn filesystem() -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["bin/", "tmp/", "etc/", "www/"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, folder, &[][..]).unwrap();
    }
    let mut file = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).unwrap();
    };
    file("bin/busybox", 0o755, &busybox);
    file("www/index.html", 0o644, b"hello\n");
    file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\n");
    file("bin/not-executable", 0o644, b"#!/bin/sh\n");
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    tar.into_inner().unwrap()
}

/// Imports the base image as `reference` with these labels.
pub async fn import(docker: &Docker, reference: &str, labels: &[(String, String)]) {
    let (repo, tag) = reference.rsplit_once(':').unwrap();
    let changes = labels
        .iter()
        .map(|(key, value)| format!("LABEL {key}={value}"))
        .chain(["CMD [\"/bin/sleep\", \"1000\"]".to_owned()])
        .collect();
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repo)
        .tag(tag)
        .changes(changes)
        .build();
    docker
        .create_image(Some(options), Some(body_full(filesystem().into())), None)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
}
