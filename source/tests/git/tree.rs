//! A commit's files against what git itself says of them.

use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
};

use crate::support::{Served, Work, serve, serve_with};
use windlass_domain::{CommitSha, EntryKind, ExtraFile, FailureCode, SourceTree};
use windlass_source::{CommitTree, SubmoduleAccess, TreeError, TreeOptions};

async fn tree(served: &Served, commit: &CommitSha) -> CommitTree {
    let options = TreeOptions::default();
    served.repositories.tree(served.app, commit, options).await.unwrap()
}

/// Commits what is in the working copy, and shows it as a tree.
async fn committed(served: &Served, work: &Work) -> CommitTree {
    let commit = work.commit("Files").await;
    work.put_into(&served.bare()).await;
    tree(served, &commit).await
}

/// Path to kind, mode, and content or target. Directories are left out of git's mode of them.
fn unpacked(tar: &[u8]) -> BTreeMap<String, (u8, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::XGlobalHeader {
            continue;
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mode = if kind.is_file() {
            entry.header().mode().unwrap()
        } else {
            0
        };
        let mut content = entry
            .link_name_bytes()
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default();
        entry.read_to_end(&mut content).unwrap();
        let before = files.insert(path.clone(), (kind.as_byte(), mode, content));
        assert!(before.is_none(), "{path} is there twice");
    }
    files
}

fn packed(tree: &CommitTree, context: &str, extra: &[ExtraFile]) -> BTreeMap<String, (u8, u32, Vec<u8>)> {
    let mut out = Vec::new();
    tree.write_tar(context, &|_| true, extra, &mut out).unwrap();
    unpacked(&out)
}

fn varied(work: &Work) {
    work.write("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(work.dir.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    work.write("a/b/c.txt", "deep");
    work.write("a.txt", "beside a/");
    work.write("empty", "");
    work.write("with space/ü\n\\x", "odd");
    work.write(&format!("{}/{}", "long".repeat(30), "name".repeat(50)), "long");
    work.write("big", &"0123456789abcdef".repeat(100_000));
    symlink("../../etc/passwd", work.dir.join("a/out")).unwrap();
    symlink("/etc/passwd", work.dir.join("absolute")).unwrap();
    symlink("./b//c.txt", work.dir.join("a/in")).unwrap();
    symlink("x/".repeat(150), work.dir.join("far")).unwrap();
    symlink("a", work.dir.join("dir-link")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tar_is_what_git_archive_makes() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    let archive = work
        .command(&["-c", "tar.umask=0022", "archive", "--format=tar", "HEAD"])
        .output()
        .await
        .unwrap();
    let mut expected = unpacked(&archive.stdout);
    // Git writes the header's mode for links and directories, which no unpacker uses.
    for (_, mode, _) in expected.values_mut() {
        *mode &= 0o755;
    }
    assert_eq!(packed(&tree, "", &[]), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_what_git_lists() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    let listed = work.git(&["ls-tree", "-r", "-z", "--long", "HEAD"]).await.out;
    let mut expected: Vec<String> = listed
        .split_terminator('\0')
        .map(|line| {
            let (facts, path) = line.split_once('\t').unwrap();
            let facts: Vec<&str> = facts.split_whitespace().collect();
            format!("{} {} {path}", facts[0], facts[3])
        })
        .collect();
    expected.sort_by(|a, b| a.splitn(3, ' ').last().cmp(&b.splitn(3, ' ').last()));
    let mode = |kind| match kind {
        EntryKind::File => "100644",
        EntryKind::Executable => "100755",
        EntryKind::Symlink => "120000",
    };
    let entries = tree.entries().unwrap();
    let found: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", mode(entry.kind), entry.size, entry.path))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commit_is_the_same_bytes() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    let bytes = || {
        let mut out = Vec::new();
        tree.write_tar("", &|_| true, &[], &mut out).unwrap();
        out
    };
    assert_eq!(bytes(), bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_through_links_that_stay_inside() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    let read = |path: &str| {
        tree.read(path, 1000)
            .unwrap()
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    for path in ["a/b/c.txt", "a/in", "dir-link/b/c.txt", "./a//in"] {
        assert_eq!(read(path).as_deref(), Some("deep"), "{path}");
    }
    for path in ["a/out", "absolute", "far", "a", "nothing", "../hello", ""] {
        assert_eq!(read(path), None, "{path}");
    }
    assert_eq!(tree.read("big", 5).unwrap().unwrap(), b"01234");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_a_directory_of_the_tree() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    for context in ["a", "./a/", "a//"] {
        let paths: Vec<String> = packed(&tree, context, &[]).into_keys().collect();
        assert_eq!(paths, ["b/", "b/c.txt", "in", "out"], "{context}");
    }
    for context in ["nothing", "hello", "..", "a/../a"] {
        let error = tree.write_tar(context, &|_| true, &[], &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_stays_out_and_what_is_extra_replaces() {
    let served = serve().await;
    let work = served.work().await;
    varied(&work);
    let tree = committed(&served, &work).await;
    let extra = |path: &str| ExtraFile {
        path: path.to_owned(),
        content: b"ours".to_vec(),
    };
    let files = packed(
        &tree,
        "",
        &[extra("hello"), extra("dir-link/new"), extra(".windlass/Dockerfile")],
    );
    assert_eq!(files["hello"].2, b"ours");
    assert_eq!(files[".windlass/Dockerfile"].2, b"ours");
    assert_eq!(files["dir-link/"].0, b'5', "a link stood in the way and was followed");

    let mut out = Vec::new();
    tree.write_tar("", &|path| path.starts_with("a/"), &[], &mut out)
        .unwrap();
    let paths: Vec<String> = unpacked(&out).into_keys().collect();
    assert_eq!(paths, ["a/", "a/b/", "a/b/c.txt", "a/in", "a/out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_too_large_is_a_result() {
    let served = serve().await;
    let work = served.work().await;
    work.write("big", &"x".repeat(10_000));
    let commit = work.commit("Big").await;
    work.put_into(&served.bare()).await;
    let options = TreeOptions {
        max_bytes: 9_000,
        ..TreeOptions::default()
    };
    let error = served
        .repositories
        .tree(served.app, &commit, options)
        .await
        .unwrap_err();
    assert_eq!(error.to_failure().code, FailureCode::RepositoryTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_repeated_trees_is_refused() {
    let served = serve().await;
    let work = served.work().await;
    let mut object = format!(
        "100644 blob {}",
        work.git(&["rev-parse", "HEAD:hello"]).await.out.trim()
    );
    for _ in 0..8 {
        let lines: String = (0..10).map(|n| format!("{object}\tf{n}\n")).collect();
        std::fs::write(work.dir.join("../lines"), lines).unwrap();
        let mut mktree = work.command(&["mktree"]);
        mktree.stdin(std::fs::File::open(work.dir.join("../lines")).unwrap());
        let tree = String::from_utf8(mktree.output().await.unwrap().stdout).unwrap();
        object = format!("040000 tree {}", tree.trim());
    }
    let tree = object.rsplit(' ').next().unwrap();
    let commit = work
        .git(&["commit-tree", "-m", "Bomb", tree])
        .await
        .out
        .trim()
        .to_owned();
    work.git(&["update-ref", "refs/heads/main", &commit]).await;
    work.put_into(&served.bare()).await;
    let commit = commit.parse().unwrap();
    let error = served
        .repositories
        .tree(served.app, &commit, TreeOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, TreeError::TooManyFiles { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_there_is_a_result() {
    let served = serve().await;
    let commit = "1234567890".repeat(4).parse().unwrap();
    let error = served
        .repositories
        .tree(served.app, &commit, TreeOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_failure().code, FailureCode::RefNotFound);
}

/// A repository with a submodule `lib`, which has a submodule `deep` by a relative address.
async fn with_submodules(served: &Served, lib_url: &str) -> (Work, CommitSha) {
    let deep = server_of(served, "deep").await;
    let lib = server_of(served, "lib").await;
    add_submodule(&lib.0, "deep", &format!("../{}.git", deep.1.app), &deep.0.head().await).await;
    lib.0.put_into(&lib.1.bare()).await;
    let work = served.work().await;
    let url = lib_url.replace("LIB", &lib.1.url());
    add_submodule(&work, "vendor/lib", &url, &lib.0.head().await).await;
    work.put_into(&served.bare()).await;
    let head = work.head().await;
    (work, head)
}

/// Another app on the same server, with a working copy that was put into it.
async fn server_of(served: &Served, name: &str) -> (Work, OtherApp) {
    let other = OtherApp {
        app: windlass_domain::AppId::generate(),
        root: served.folder.path().join("repositories"),
        address: served.address.clone(),
    };
    served.repositories.ensure(other.app).await.unwrap();
    let work = served.work_named(name).await;
    work.write(name, name);
    work.commit(name).await;
    work.put_into(&other.bare()).await;
    (work, other)
}

struct OtherApp {
    app: windlass_domain::AppId,
    root: std::path::PathBuf,
    address: String,
}

impl OtherApp {
    fn bare(&self) -> std::path::PathBuf {
        self.root.join(format!("{}.git", self.app))
    }

    fn url(&self) -> String {
        format!("http://{}/{}.git", self.address, self.app)
    }
}

async fn add_submodule(work: &Work, path: &str, url: &str, commit: &CommitSha) {
    work.write(
        ".gitmodules",
        &format!("[submodule \"any name\"]\n\tpath = {path}\n\turl = {url}\n"),
    );
    work.git(&["add", ".gitmodules"]).await;
    let info = format!("160000,{commit},{path}");
    work.git(&["update-index", "--add", "--cacheinfo", &info]).await;
    work.git(&["commit", "-q", "-m", "Submodule"]).await;
}

fn access(served: &Served) -> TreeOptions {
    TreeOptions {
        submodules: Some(SubmoduleAccess {
            repo_url: Some(served.url().parse().unwrap()),
            deploy_key: None,
            progress: Arc::new(|_| {}),
        }),
        ..TreeOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_empty_directories_until_they_are_asked_for() {
    let served = serve().await;
    let (_work, commit) = with_submodules(&served, "LIB").await;
    let plain = tree(&served, &commit).await;
    let paths: Vec<String> = packed(&plain, "", &[]).into_keys().collect();
    assert_eq!(paths, [".gitmodules", "hello", "vendor/", "vendor/lib/"]);

    for _ in 0..2 {
        let full = served
            .repositories
            .tree(served.app, &commit, access(&served))
            .await
            .unwrap();
        let read = |path| full.read(path, 100).unwrap();
        assert_eq!(read("vendor/lib/lib").as_deref(), Some(&b"lib"[..]));
        assert_eq!(read("vendor/lib/deep/deep").as_deref(), Some(&b"deep"[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_with_a_forbidden_address_is_a_result() {
    for url in [
        "file:///etc",
        "/etc",
        "ext::sh -c id",
        "-u./x",
        "ssh://-oProxyCommand=id/x",
        "http://169.254.169.254/x",
    ] {
        let served = serve().await;
        let (_work, commit) = with_submodules(&served, url).await;
        let error = served
            .repositories
            .tree(served.app, &commit, access(&served))
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with("the submodule `vendor/lib`"),
            "{url}: {error:?}"
        );
        assert_ne!(error.to_failure().code, FailureCode::Internal, "{url}");
    }
}

/// The clock goes on by itself whenever nothing but time is waited for.
#[tokio::test(start_paused = true)]
async fn submodules_that_take_too_long_together_are_a_result() {
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let served = serve_with(|config| config.fetch.timeout = day).await;
    // Connections come in, and are never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/lib.git", silent.local_addr().unwrap());
    let (_work, commit) = with_submodules(&served, &url).await;
    let error = served
        .repositories
        .tree(served.app, &commit, access(&served))
        .await
        .unwrap_err();
    assert!(matches!(error, TreeError::SubmodulesLate(_)), "{error:?}");
    assert_eq!(error.to_failure().code, FailureCode::RepositoryUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_tree_is_packed_in_milliseconds() {
    let served = serve().await;
    let work = served.work().await;
    for n in 0..50 {
        work.write(&format!("src/file{n}"), &"line\n".repeat(n));
    }
    let commit = work.commit("Small").await;
    work.put_into(&served.bare()).await;
    let started = std::time::Instant::now();
    let small = tree(&served, &commit).await;
    small.write_tar("", &|_| true, &[], &mut std::io::sink()).unwrap();
    // A debug build on a busy machine; a release build needs a few milliseconds.
    assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
}
