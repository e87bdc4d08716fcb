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
fn frameworks_are_started_by_their_servers() {
    for (files, expected) in [
        (
            vec![
                ("requirements.txt", "flask\ngunicorn\n"),
                ("app.py", "app = Flask(__name__)\n"),
            ],
            "gunicorn app:app",
        ),
        (
            vec![
                ("requirements.txt", "flask\n"),
                ("app.py", "site: Flask = Flask(__name__)\n"),
            ],
            "sh: exec flask --app app:site run --host 0.0.0.0 --port \"$PORT\"",
        ),
        (
            vec![
                ("requirements.txt", "fastapi\nuvicorn[standard]\n"),
                ("app/main.py", "api = fastapi.FastAPI()\n"),
            ],
            "sh: exec uvicorn app.main:api --host 0.0.0.0 --port \"$PORT\"",
        ),
        (
            vec![
                ("requirements.txt", "Django\ngunicorn==23\n"),
                ("manage.py", ""),
                ("shop/wsgi.py", ""),
            ],
            "gunicorn shop.wsgi",
        ),
        (
            vec![("requirements.txt", ""), ("main.py", "print(1)")],
            "python main.py",
        ),
        (
            vec![("requirements.txt", "x\n"), ("Procfile", "web: ./serve\n")],
            "sh: exec ./serve",
        ),
    ] {
        assert_eq!(web(&plan(&files).unwrap()), expected);
    }
}

#[test]
fn a_hostile_name_does_not_reach_the_shell() {
    let plan = plan(&[
        ("requirements.txt", ""),
        ("app.py", "x; rm -rf / = Flask(\n"),
        ("a;b/wsgi.py", ""),
    ])
    .unwrap();
    assert_eq!(web(&plan), "python app.py");
}

#[test]
fn lock_files_choose_the_installer() {
    for (file, command) in [
        ("uv.lock", "uv sync --active --frozen --no-dev --no-install-project"),
        ("poetry.lock", "poetry install --only main --no-root --no-interaction"),
        ("Pipfile.lock", "pipenv sync"),
        (
            "requirements.txt",
            "/opt/venv/bin/pip install --disable-pip-version-check -r requirements.txt",
        ),
    ] {
        let plan = plan(&[(file, "x"), ("pyproject.toml", ""), ("main.py", "")]).unwrap();
        assert_eq!(commands(&plan).last().unwrap(), command);
    }
}

#[test]
fn requirements_that_name_other_files_get_all_files_first() {
    let plan = plan(&[
        ("requirements.txt", "-r base.txt\n"),
        ("base.txt", "x"),
        ("main.py", ""),
    ])
    .unwrap();
    assert_eq!(plan.steps[1].copy, ["."]);
}

#[test]
fn static_files_of_django_are_collected_where_there_is_a_place_for_them() {
    let with = [
        ("requirements.txt", "Django"),
        ("manage.py", ""),
        ("shop/settings.py", "STATIC_ROOT = 'x'"),
    ];
    assert!(
        commands(&plan(&with).unwrap())
            .last()
            .unwrap()
            .contains("collectstatic")
    );
    assert!(
        !commands(&plan(&with[..2]).unwrap())
            .last()
            .unwrap()
            .contains("collectstatic")
    );
}

#[test]
fn compiled_packages_bring_their_compiler() {
    let plan = |requirements: &str| {
        plan(&[("requirements.txt", requirements), ("main.py", "")])
            .unwrap()
            .packages
    };
    assert_eq!(plan("psycopg2==2.9"), ["gcc", "libc6-dev", "libpq-dev"]);
    assert_eq!(plan("psycopg2-binary"), Vec::<String>::new());
    assert_eq!(plan("x @ git+https://example.com/x"), ["git"]);
}

#[test]
fn an_app_that_cannot_be_started_is_told_how() {
    let error = plan(&[("requirements.txt", "x")]).unwrap_err();
    assert!(error.to_string().contains("not how it is started"), "{error}");
}

#[test]
fn a_broken_pyproject_names_its_line() {
    let error = plan(&[("pyproject.toml", "[project]\nname = \n"), ("main.py", "")]).unwrap_err();
    assert!(error.to_string().starts_with("pyproject.toml line 2: "), "{error}");
}

#[test]
fn an_unknown_version_is_refused_with_its_file() {
    let error = plan(&[("runtime.txt", "python-2.7.18"), ("main.py", "")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "runtime.txt line 1: `python-2.7.18` is no known version of Python"
    );
}
