use super::*;

/// Whether `.dockerignore` with these lines leaves the path out.
#[track_caller]
fn check(lines: &[&str], path: &str, out: bool) {
    let rules = IgnoreRules::parse(&lines.join("\n")).unwrap();
    assert_eq!(rules.leaves_out(path), out, "{lines:?} on {path}");
}

#[test]
fn single_patterns_match_as_documented() {
    // pattern, path, left out
    for (pattern, path, out) in [
        ("a", "a", true),
        ("a", "b", false),
        ("a", "a/b/c", true),
        ("a", "x/a", false),
        ("a", "ab", false),
        ("/a", "a", true),
        ("/a", "x/a", false),
        ("a/", "a/b", true),
        ("./a", "a", true),
        ("a//b", "a/b", true),
        ("a/../b", "b", true),
        ("a/./b", "a/b", true),
        ("  a  ", "a", true),
        ("*", "a", true),
        ("*", "a/b", true),
        ("*", ".env", true),
        ("*.log", "x.log", true),
        ("*.log", "sub/x.log", false),
        ("*/x.log", "sub/x.log", true),
        ("*/x.log", "a/b/x.log", false),
        ("*/*/x.log", "a/b/x.log", true),
        ("a*", "abc/d", true),
        ("a?", "ab", true),
        ("a?", "a", false),
        ("a?b", "a/b", false),
        ("[ab]", "a", true),
        ("[ab]", "c", false),
        ("[a-c]x", "bx", true),
        ("[^a]", "b", true),
        ("[^a]", "a", false),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("**", "a", true),
        ("**", "a/b/c", true),
        ("**/", "a", true),
        ("**/a", "a", true),
        ("**/a", "x/a", true),
        ("**/a", "x/y/a", true),
        ("**/a", "x/ya", false),
        ("**/a", "x/y/a/z", true),
        ("a/**", "a/b", true),
        ("a/**", "a/b/c", true),
        ("a/**", "b/a", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/xb", false),
        ("**/*.go", "x.go", true),
        ("**/*.go", "a/b/x.go", true),
        ("**/*.go", "a/b/x.gox", false),
        ("**/node_modules", "web/node_modules/x/y.js", true),
        ("node_modules", "web/node_modules/x", false),
        ("a**b", "ab", true),
        ("a**b", "ax/b", true),
        ("a**b", "ax/yb", false),
        ("a**", "ax/yb", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file.txt", "dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("a[/]b", "a/b", true),
        ("é?", "éü", true),
        ("a.c", "abc", false),
        ("a+b", "aab", false),
        ("$x^", "$x^", true),
        ("# no comment inside", "# no comment inside", false),
        (" #x", "#x", true),
        (".", "a", false),
        ("..", "a", false),
        ("/", "a", false),
    ] {
        check(&[pattern], path, out);
    }
}

#[test]
fn the_last_match_wins() {
    let lines = ["*.md", "!README*.md", "README-secret.md"];
    check(&lines, "x.md", true);
    check(&lines, "README.md", false);
    check(&lines, "README-secret.md", true);
    let lines = ["*.md", "README-secret.md", "!README*.md"];
    check(&lines, "README-secret.md", false);
}

#[test]
fn an_exception_reaches_into_a_directory_that_is_out() {
    let lines = ["foo/*", "!foo/bar/b", "node_modules", "*.log", "!keep.log"];
    check(&lines, "foo/a", true);
    check(&lines, "foo/bar/b", false);
    check(&lines, "foo/bar/c", true);
    check(&lines, "sub/node_modules/a", false);
    check(&lines, "sub/x.log", false);
    check(&lines, "x.log", true);
    check(&lines, "keep.log", false);
    check(&["*", "!src"], "src/deep/x", false);
    check(&["*", "! src"], "src/deep/x", false);
    check(&["*", "!src", "src/*.tmp"], "src/x.tmp", true);
}

#[test]
fn blank_lines_comments_and_marks_are_passed_over() {
    check(&["\u{feff}a", "", "#b", "   "], "a", true);
    check(&["\u{feff}a", "", "#b", "   "], "#b", false);
    check(&["a\r", "b\r"], "b", true);
}

#[test]
fn a_broken_pattern_is_an_error_with_its_line() {
    for broken in ["[", "[]", "[a", "a\\", "!", "[a-]", "[-a]"] {
        let error = IgnoreRules::parse(&format!("ok\n{broken}\n")).unwrap_err();
        assert_eq!(error.line, 2, "{broken}");
    }
}

#[test]
fn patterns_made_to_be_slow_are_not() {
    let pattern = "*a".repeat(200);
    let started = std::time::Instant::now();
    check(&[&pattern], &"a".repeat(150), false);
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}
