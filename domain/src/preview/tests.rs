use serde_json::json;

use super::*;
use crate::release::ProcessCommand;

fn specs(processes: &[(&str, &str)]) -> Vec<ProcessSpec> {
    let spec = |(process, command): &(&str, &str)| ProcessSpec {
        process: process.parse().unwrap(),
        command: Some(ProcessCommand::Shell((*command).to_owned())),
    };
    processes.iter().map(spec).collect()
}

fn vars(vars: &[(&str, &str)]) -> Vars {
    let var = |(key, value): &(&str, &str)| (key.parse().unwrap(), Secret::from(*value));
    vars.iter().map(var).collect()
}

/// A live release and the next one, alike until a test changes them.
struct Case {
    live: Option<(AppSettings, Vars, Vec<ProcessSpec>)>,
    next: (AppSettings, Vars, Option<Vec<ProcessSpec>>),
    quantities: BTreeMap<ProcessType, u32>,
    last_starts: Vec<Duration>,
}

impl Case {
    fn new() -> Self {
        let processes = specs(&[("web", "serve"), ("worker", "work")]);
        let mut settings = AppSettings::default();
        settings.health.path = Some("/up".to_owned());
        Self {
            live: Some((settings.clone(), Vars::new(), processes.clone())),
            next: (settings, Vars::new(), Some(processes)),
            quantities: BTreeMap::from([("web".parse().unwrap(), 4), ("worker".parse().unwrap(), 1)]),
            last_starts: Vec::new(),
        }
    }

    fn preview(&self) -> Preview {
        let live = self.live.as_ref().map(|(settings, config, processes)| LiveRelease {
            version: ReleaseVersion(3),
            settings,
            config,
            processes,
        });
        let (settings, config, processes) = &self.next;
        let next = NextRelease {
            version: ReleaseVersion(4),
            settings,
            config,
            processes: processes.as_deref(),
        };
        let around = Surroundings {
            quantities: &self.quantities,
            host: &"shop.example.com".parse().unwrap(),
            last_starts: &self.last_starts,
        };
        preview(live.as_ref(), &next, &around)
    }
}

/// `web unchanged +4 -4 <=5` and so on.
fn told(preview: &Preview) -> Vec<String> {
    let one = |one: &ProcessPreview| {
        let ProcessPreview {
            process,
            change,
            start,
            stop,
            at_most,
        } = one;
        format!("{process} {change:?} +{start} -{stop} <={at_most}")
    };
    preview.processes.iter().map(one).collect()
}

#[test]
fn a_release_that_is_alike_replaces_its_instances_and_changes_nothing_else() {
    let preview = Case::new().preview();
    assert_eq!(
        told(&preview),
        ["web Unchanged +4 -4 <=5", "worker Unchanged +1 -1 <=2"]
    );
    assert_eq!(
        (preview.config, preview.settings),
        (ConfigDifference::default(), vec![])
    );
    assert_eq!(preview.routes[0].change, Change::Unchanged);
    assert_eq!(
        (preview.downtime.expected, preview.downtime.seconds),
        (Expected::None, None)
    );
    assert_eq!(preview.warnings, Vec::<String>::new());
}

#[test]
fn config_vars_are_told_by_name_only() {
    let mut case = Case::new();
    case.live.as_mut().unwrap().1 = vars(&[("GONE", "1"), ("SAME", "2"), ("TURNED", "hunter2")]);
    case.next.1 = vars(&[("NEW", "4"), ("SAME", "2"), ("TURNED", "hunter3")]);
    let preview = case.preview();
    let names = |keys: &[ConfigKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let ConfigDifference {
        added,
        changed,
        removed,
    } = &preview.config;
    assert_eq!(
        (names(added), names(changed), names(removed)),
        (
            vec!["NEW".to_owned()],
            vec!["TURNED".to_owned()],
            vec!["GONE".to_owned()]
        )
    );
    assert!(!format!("{preview:?}").contains("hunter"));
}

#[test]
fn settings_that_differ_are_told_by_their_pointers() {
    let mut case = Case::new();
    case.next.0.port = Some(3000);
    case.next.0.health.path = None;
    case.next.0.build.args.insert("A/B".to_owned(), "1".to_owned());
    let difference = |field: &str, from: Value, to: Value| SettingDifference {
        field: field.to_owned(),
        from,
        to,
    };
    assert_eq!(
        case.preview().settings,
        [
            difference("/build/args/A~1B", Value::Null, json!("1")),
            difference("/health/path", json!("/up"), Value::Null),
            difference("/port", Value::Null, json!(3000)),
        ]
    );
}

#[test]
fn process_types_come_go_and_change() {
    let mut case = Case::new();
    case.next.2 = Some(specs(&[
        ("web", "serve --fast"),
        ("clock", "tick"),
        ("release", "migrate"),
    ]));
    case.quantities.insert("clock".parse().unwrap(), 2);
    let preview = case.preview();
    assert_eq!(
        told(&preview),
        [
            "clock Added +2 -0 <=2",
            "web Changed +4 -4 <=5",
            "worker Removed +0 -1 <=1"
        ]
    );
    assert!(
        preview.warnings[0].contains("release command") && preview.warnings[0].contains("v3"),
        "{preview:?}"
    );
    assert!(preview.warnings[1].contains("`worker`"), "{preview:?}");
}

#[test]
fn before_the_build_the_process_types_of_the_live_release_are_assumed() {
    let mut case = Case::new();
    case.next.2 = None;
    let preview = case.preview();
    assert!(preview.processes_assumed);
    assert_eq!(
        told(&preview),
        ["web Unchanged +4 -4 <=5", "worker Unchanged +1 -1 <=2"]
    );
    case.live = None;
    assert_eq!(told(&case.preview()), ["web Added +4 -0 <=4"]);
}

#[test]
fn the_first_release_is_all_new_and_interrupts_nothing() {
    let mut case = Case::new();
    case.live = None;
    case.next.0.strategy = Strategy::Recreate;
    case.next.1 = vars(&[("A", "1")]);
    let preview = case.preview();
    assert_eq!((preview.config.added.len(), preview.settings.len()), (1, 0));
    assert_eq!(preview.routes[0].change, Change::Added);
    assert_eq!(preview.downtime.expected, Expected::None);
}

#[test]
fn a_strategy_says_how_many_run_at_once() {
    let mut case = Case::new();
    case.next.0.strategy = Strategy::BlueGreen;
    assert_eq!(case.preview().processes[0].at_most, 8);
    case.next.0.strategy = Strategy::Recreate;
    assert_eq!(case.preview().processes[0].at_most, 4);
}

#[test]
fn recreate_tells_of_its_downtime_and_what_the_last_starts_took() {
    let mut case = Case::new();
    case.next.0.strategy = Strategy::Recreate;
    let unknown = case.preview().downtime;
    assert_eq!((unknown.expected, unknown.seconds), (Expected::Yes, None));
    case.last_starts = [800, 2100].map(Duration::from_millis).into();
    let known = case.preview().downtime;
    assert_eq!(known.seconds, Some(3));
    assert!(
        known.reason.contains("about 3 s as the last starts took 0.8 s, 2.1 s"),
        "{known:?}"
    );
}

#[test]
fn without_a_health_path_a_downtime_is_not_judged() {
    let mut case = Case::new();
    case.next.0.health.path = None;
    assert_eq!(case.preview().downtime.expected, Expected::NotJudged);
    case.quantities.insert(ProcessType::web(), 0);
    let asleep = case.preview();
    assert_eq!(asleep.downtime.expected, Expected::None);
    assert_eq!(asleep.warnings, ["`web` is scaled to 0: its host answers 503"]);
}

#[test]
fn a_release_without_web_ends_the_service() {
    let mut case = Case::new();
    case.next.2 = Some(specs(&[("worker", "work")]));
    let preview = case.preview();
    assert_eq!(preview.downtime.expected, Expected::Yes);
    assert_eq!(preview.routes[0].change, Change::Removed);
}
