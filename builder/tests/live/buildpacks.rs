//! Builds by buildpacks: the sample apps over a real Debian, built and answering.

use std::time::Duration;

use crate::support::{Container, MemoryTree, Story, debian, docker, wait_until};
use windlass_domain::FailureCode;

#[tokio::test]
async fn the_procfile_example_answers_as_an_ordinary_user() {
    debian();
    let outcome = Story::tree(MemoryTree::example("procfile")).await.run().await;
    let names: Vec<_> = outcome
        .image()
        .processes
        .iter()
        .map(|spec| spec.process.as_str())
        .collect();
    assert_eq!(names, ["release", "web"]);
    assert_eq!(outcome.run(&["id", "-un"]), "app\n");
    assert_eq!(outcome.run(&["sh", "-c", "touch /app/mine && echo $HOME"]), "/app\n");
    let container = Container::of(&outcome);
    assert!(container.get("/", "").await.ends_with("hi from a Procfile\n"));
    assert!(container.stop() < Duration::from_secs(8));
}

#[tokio::test]
async fn the_static_example_is_served_as_sites_are() {
    debian();
    let mut tree = MemoryTree::example("static");
    tree.0.extend(
        MemoryTree::of(&[
            (".env", "SECRET=1"),
            ("big.css", &"a { b: c }\n".repeat(100)),
            (".well-known/x.txt", "known"),
            ("sub/index.html", "sub"),
        ])
        .0,
    );
    let outcome = Story::tree(tree).await.run().await;
    outcome.image();
    let site = Container::of(&outcome);
    let page = site.get("/", "").await;
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.contains("hello from a static site"),
        "{page}"
    );
    assert!(
        page.contains("text/html; charset=utf-8") && page.contains("ETag:"),
        "{page}"
    );
    assert!(site.get("/style.css", "").await.contains("text/css"));
    assert!(
        site.get("/big.css", "Accept-Encoding: gzip\r\n")
            .await
            .contains("Content-Encoding: gzip")
    );
    assert!(site.get("/sub/", "").await.ends_with("sub"));
    let missing = site.get("/nowhere", "").await;
    assert!(
        missing.starts_with("HTTP/1.1 404 ") && missing.contains("There is no such page"),
        "{missing}"
    );
    for hidden in ["/.env", "/.windlass/Dockerfile", "/%2eenv", "/../etc/passwd"] {
        let answer = site.get(hidden, "").await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{hidden}: {answer}");
    }
    assert!(site.get("/.well-known/x.txt", "").await.ends_with("known"));
    // The server writes its access log in blocks, every few seconds.
    wait_until("the line of the access log", || site.log().contains("GET /style.css")).await;
    assert!(site.stop() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_site_of_a_single_page_answers_every_path_with_it() {
    debian();
    let tree = MemoryTree::of(&[
        ("Staticfile", "root: www\npushstate: enabled\n"),
        ("www/index.html", "the page"),
        ("www/a.js", "1"),
    ]);
    let outcome = Story::tree(tree).await.run().await;
    let site = Container::of(&outcome);
    let page = site.get("/users/7?tab=x", "").await;
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.ends_with("the page"),
        "{page}"
    );
    assert!(site.get("/a.js", "").await.ends_with('1'));
    assert!(site.get("/missing.js", "").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn nothing_that_fits_is_a_failure_that_says_what_would() {
    let outcome = Story::of(&[("README", "")]).await.run().await;
    let failure = outcome.failure();
    assert_eq!(failure.code, FailureCode::NoBuilder);
    assert!(failure.next_step.contains("add a Dockerfile"), "{failure:?}");
}

#[tokio::test]
async fn a_dockerignore_counts_for_buildpacks_too() {
    debian();
    let tree = MemoryTree::of(&[
        ("Procfile", "web: ./x\n"),
        (".dockerignore", "secret\n"),
        ("secret", ""),
        ("x", ""),
    ]);
    let outcome = Story::tree(tree).await.run().await;
    assert_eq!(outcome.run(&["ls", "/app"]), "Procfile\nx\n");
    assert!(docker(&["history", "--no-trunc", &outcome.tag]).contains("useradd"));
}
