//! The sample apps of `examples/`: the plan and the Dockerfile of each is a snapshot.

use std::path::Path;

use windlass_domain::Failure;

use crate::{PlanOptions, Tree, dockerfile, plan, test_tree::folder, test_tree::tree};

fn check(name: &str) {
    let source = folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name));
    let plan = plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default()).unwrap();
    insta::assert_json_snapshot!(format!("{name}-plan"), plan);
    insta::assert_snapshot!(format!("{name}-dockerfile"), dockerfile(&plan, "app_1"));
}

#[test]
fn the_node_example_has_its_plan() {
    check("node");
}

#[test]
fn the_python_example_has_its_plan() {
    check("python");
}

#[test]
fn the_static_example_has_its_plan() {
    check("static");
}

#[test]
fn the_procfile_example_has_its_plan() {
    check("procfile");
}

#[test]
fn an_app_with_everything_has_its_plan() {
    let source = tree(&[
        (
            "package.json",
            r#"{
                "engines": {"node": ">=20 <23"},
                "packageManager": "pnpm@10.2.0",
                "scripts": {"build": "next build", "start": "next start"},
                "dependencies": {"next": "16"},
                "devDependencies": {"typescript": "5"}
            }"#,
        ),
        ("pnpm-lock.yaml", ""),
        (
            "Procfile",
            "release: npx prisma migrate deploy\nworker: node worker.js\nweb: npm start\n",
        ),
    ]);
    let options = PlanOptions {
        args: vec!["NPM_TOKEN".to_owned()],
        ..PlanOptions::default()
    };
    let plan = plan(&Tree::new(&source, "").unwrap(), &options).unwrap();
    insta::assert_json_snapshot!("node-full-plan", plan);
    insta::assert_snapshot!("node-full-dockerfile", dockerfile(&plan, "app_1"));
}

#[test]
fn an_app_with_requirements_has_its_plan() {
    let source = tree(&[
        ("requirements.txt", "Django\ngunicorn\npsycopg2\n"),
        ("manage.py", ""),
        ("shop/wsgi.py", ""),
        ("shop/settings.py", "STATIC_ROOT = BASE_DIR / 'static'\n"),
    ]);
    let plan = plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default()).unwrap();
    insta::assert_json_snapshot!("django-plan", plan);
    insta::assert_snapshot!("django-dockerfile", dockerfile(&plan, "app_1"));
}

#[test]
fn a_plan_reads_back_from_its_json() {
    let source = tree(&[("Procfile", "web: ./x\n")]);
    let plan = plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default()).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<crate::BuildPlan>(&json).unwrap(), plan);
}

#[test]
fn where_nothing_fits_the_failure_lists_what_was_looked_for() {
    let source = tree(&[("README.md", ""), ("src/lib.c", "")]);
    let error = plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default()).unwrap_err();
    insta::assert_snapshot!("no-buildpack", Failure::from(error).lines().join("\n"));
}
