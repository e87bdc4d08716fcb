use super::*;
use crate::test_tree::tree;

fn plan(files: &[(&str, &str)]) -> Result<BuildPlan, PlanError> {
    let source = tree(files);
    crate::plan(&Tree::new(&source, "").unwrap(), &PlanOptions::default())
}

fn commands(plan: &BuildPlan) -> Vec<String> {
    plan.steps
        .iter()
        .flat_map(|step| &step.run)
        .map(|command| command.join(" "))
        .collect()
}

fn web(plan: &BuildPlan) -> String {
    let web = plan.processes.iter().find(|spec| spec.process.is_web()).unwrap();
    match web.command.as_ref().unwrap() {
        windlass_domain::release::ProcessCommand::Exec(arguments) => arguments.join(" "),
        windlass_domain::release::ProcessCommand::Shell(line) => format!("sh: {line}"),
    }
}

#[test]
fn dependencies_are_installed_before_the_source_is_copied() {
    let plan = plan(&[
        (
            "package.json",
            r#"{"dependencies":{"express":"^5"},"scripts":{"start":"node server.js"}}"#,
        ),
        ("package-lock.json", "{}"),
        (".npmrc", ""),
    ])
    .unwrap();
    assert_eq!(plan.steps[0].copy, ["package.json", "package-lock.json", ".npmrc"]);
    assert_eq!(commands(&plan), ["npm ci --no-audit --no-fund --omit=dev"]);
    assert_eq!(plan.steps[1].copy, ["."]);
    assert_eq!(web(&plan), "node server.js");
}

#[test]
fn development_dependencies_are_there_for_the_build_and_go_afterwards() {
    let plan = plan(&[(
        "package.json",
        r#"{"devDependencies":{"typescript":"5"},"scripts":{"build":"tsc","start":"node dist/x.js && true"}}"#,
    )])
    .unwrap();
    assert_eq!(
        commands(&plan),
        [
            "npm install --no-audit --no-fund --include=dev",
            "npm run build",
            "npm prune --omit=dev --no-audit --no-fund"
        ]
    );
    assert_eq!(web(&plan), "npm start");
}

#[test]
fn lock_files_choose_the_manager() {
    let managers = [
        (
            "yarn.lock",
            "yarn install --frozen-lockfile --non-interactive --production",
        ),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile --prod"),
        ("bun.lock", "bun install --frozen-lockfile --production"),
    ];
    for (lock, command) in managers {
        let plan = plan(&[
            ("package.json", r#"{"dependencies":{"a":"1"},"main":"./x.js"}"#),
            ("x.js", ""),
            (lock, ""),
        ])
        .unwrap();
        assert_eq!(commands(&plan).last().unwrap(), command);
        assert_eq!(web(&plan), "node x.js");
    }
}

#[test]
fn the_package_manager_field_wins_and_is_checked() {
    let files = |field: &str| {
        [(
            "package.json".to_owned(),
            format!(r#"{{"dependencies":{{"a":"1"}},"packageManager":"{field}","main":"x.js"}}"#),
        )]
    };
    let plan_of = |field: &str| {
        let files = files(field);
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .chain([("x.js", "")])
            .collect();
        plan(&files)
    };
    let pnpm = plan_of("pnpm@9.1.0+sha512.abc").unwrap();
    assert_eq!(
        commands(&pnpm)[0],
        "npm install --global --force --no-audit --no-fund pnpm@9.1.0"
    );
    assert!(pnpm.steps[0].as_root && !pnpm.steps[1].as_root);
    assert!(
        plan_of("pnpm@1; rm -rf /")
            .unwrap_err()
            .to_string()
            .contains("packageManager")
    );
}

#[test]
fn an_app_of_pages_is_built_and_served() {
    let plan = plan(&[(
        "package.json",
        r#"{"devDependencies":{"vite":"7"},"scripts":{"build":"vite build","dev":"vite"}}"#,
    )])
    .unwrap();
    assert_eq!(web(&plan), "lighttpd -D -f /etc/lighttpd/windlass.conf");
    assert!(plan.files[0].content.contains("server.document-root = \"/app/dist\""));
    assert_eq!(plan.packages, ["lighttpd", "lighttpd-mod-deflate"]);
}

#[test]
fn an_app_that_cannot_be_started_is_told_how() {
    let error = plan(&[("package.json", "{}")]).unwrap_err();
    assert!(error.to_string().contains("no `start` script"), "{error}");
}

#[test]
fn a_broken_package_json_names_its_line() {
    let error = plan(&[("package.json", "{\n  \"name\": \"x\",\n}\n")]).unwrap_err();
    assert_eq!(error.to_string(), "package.json line 3: trailing comma");
}

#[test]
fn an_impossible_version_is_refused() {
    let error = plan(&[
        ("package.json", r#"{"engines":{"node":">=99"},"main":"x.js"}"#),
        ("x.js", ""),
    ])
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "package.json: `engines.node` is `>=99`, which no known Node.js fits"
    );
}

#[test]
fn without_dependencies_nothing_is_installed() {
    let plan = plan(&[("package.json", "{}"), ("server.js", "")]).unwrap();
    assert_eq!(commands(&plan), Vec::<String>::new());
}
