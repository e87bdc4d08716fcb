//! What would change if a release went live: decided from what is live and what would be, before anything is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use crate::{AppSettings, ConfigKey, Hostname, ProcessSpec, ProcessType, ReleaseVersion, Secret, Strategy};

type Vars = BTreeMap<ConfigKey, Secret>;

/// The release that is live.
#[derive(Debug, Clone, Copy)]
pub struct LiveRelease<'a> {
    /// Its number.
    pub version: ReleaseVersion,
    /// Its settings.
    pub settings: &'a AppSettings,
    /// Its config vars.
    pub config: &'a Vars,
    /// Its process types.
    pub processes: &'a [ProcessSpec],
}

/// The release that would take its place.
#[derive(Debug, Clone, Copy)]
pub struct NextRelease<'a> {
    /// Its number.
    pub version: ReleaseVersion,
    /// Its settings.
    pub settings: &'a AppSettings,
    /// Its config vars.
    pub config: &'a Vars,
    /// Its process types; none: they are known only when its image is built.
    pub processes: Option<&'a [ProcessSpec]>,
}

/// What holds for both.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// How many instances were asked for; a process type that is absent has its default.
    pub quantities: &'a BTreeMap<ProcessType, u32>,
    /// The host that the app answers at.
    pub host: &'a Hostname,
    /// How long the last instances of `web` took until they were healthy.
    pub last_starts: &'a [Duration],
}

/// What would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Config vars, by name only.
    pub config: ConfigDifference,
    /// Settings, in the order of their pointers; none when nothing is live to compare with.
    pub settings: Vec<SettingDifference>,
    /// Process types, in the order of their names; `release` is none of them.
    pub processes: Vec<ProcessPreview>,
    /// Whether the process types are guessed from the live release.
    pub processes_assumed: bool,
    /// Routes.
    pub routes: Vec<RoutePreview>,
    /// Whether the app stops answering for a while.
    pub downtime: Downtime,
    /// What to know before.
    pub warnings: Vec<String>,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Unchanged,
    /// It is new.
    Added,
    /// It is other than before.
    Changed,
    /// It is gone.
    Removed,
}

/// Config vars that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigDifference {
    /// New ones.
    pub added: Vec<ConfigKey>,
    /// Those with another value.
    pub changed: Vec<ConfigKey>,
    /// Those that are gone.
    pub removed: Vec<ConfigKey>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDifference {
    /// JSON pointer of the field below the settings.
    pub field: String,
    /// What it was; null: nothing.
    pub from: Value,
    /// What it would be; null: nothing.
    pub to: Value,
}

/// What becomes of the instances of a process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPreview {
    /// The process type.
    pub process: ProcessType,
    /// Whether it is new, is started otherwise, or is gone.
    pub change: Change,
    /// Instances that start.
    pub start: u32,
    /// Instances that stop.
    pub stop: u32,
    /// How many run at once, at most; old ones that only finish their requests come on top.
    pub at_most: u32,
}

/// What becomes of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePreview {
    /// The host.
    pub host: Hostname,
    /// The path that requests begin with.
    pub path: String,
    /// The process type that serves it.
    pub process: ProcessType,
    /// What becomes of it.
    pub change: Change,
}

/// Whether the app stops answering for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downtime {
    /// Whether it does.
    pub expected: Expected,
    /// Why, in a sentence.
    pub reason: String,
    /// For how many seconds, about; none: not at all, or nobody knows.
    pub seconds: Option<u32>,
}

/// Whether a downtime is to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No.
    None,
    /// Yes.
    Yes,
    /// Nothing says when an instance is ready.
    NotJudged,
}

/// Compares the live release with the one that would take its place.
pub fn preview(live: Option<&LiveRelease<'_>>, next: &NextRelease<'_>, around: &Surroundings<'_>) -> Preview {
    let takeover = Takeover { live, next, around };
    Preview {
        config: config_difference(live.map(|live| live.config), next.config),
        settings: live.map_or_else(Vec::new, |live| settings_difference(live.settings, next.settings)),
        processes: takeover.processes(),
        processes_assumed: next.processes.is_none(),
        routes: takeover.routes(),
        downtime: takeover.downtime(),
        warnings: takeover.warnings(),
    }
}

fn config_difference(before: Option<&Vars>, after: &Vars) -> ConfigDifference {
    let nothing = Vars::new();
    let before = before.unwrap_or(&nothing);
    let mut difference = ConfigDifference::default();
    for (key, value) in after {
        match before.get(key) {
            None => difference.added.push(key.clone()),
            Some(old) if old != value => difference.changed.push(key.clone()),
            Some(_) => {}
        }
    }
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    difference.removed.extend(removed.cloned());
    difference
}

fn settings_difference(before: &AppSettings, after: &AppSettings) -> Vec<SettingDifference> {
    let (before, after) = (leaves(before), leaves(after));
    let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |leaves: &BTreeMap<String, Value>, field| leaves.get(field).cloned().unwrap_or(Value::Null);
    let differences = fields.into_iter().map(|field| SettingDifference {
        field: field.clone(),
        from: of(&before, field),
        to: of(&after, field),
    });
    differences.filter(|one| one.from != one.to).collect()
}

/// All single values of the settings by their JSON pointers.
fn leaves(settings: &AppSettings) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    // Settings are plain data: they can always be written.
    let tree = serde_json::to_value(settings).unwrap_or_default();
    collect(String::new(), tree, &mut found);
    found
}

fn collect(pointer: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(format!("{pointer}/{name}"), value, found);
            }
        }
        leaf => drop(found.insert(pointer, leaf)),
    }
}

struct Takeover<'a> {
    live: Option<&'a LiveRelease<'a>>,
    next: &'a NextRelease<'a>,
    around: &'a Surroundings<'a>,
}

impl Takeover<'_> {
    fn live_spec(&self, process: &ProcessType) -> Option<&ProcessSpec> {
        let mut specs = self.live.iter().flat_map(|live| live.processes);
        specs.find(|spec| spec.process == *process)
    }

    /// Whether the next release has a process type, and whether it is started otherwise than before. Before it is built it is
    /// thought to have what is live, or else `web`.
    fn next_has(&self, process: &ProcessType) -> (bool, bool) {
        match (self.next.processes, self.live) {
            (Some(specs), _) => match specs.iter().find(|spec| spec.process == *process) {
                Some(spec) => (
                    true,
                    self.live_spec(process).is_some_and(|old| old.command != spec.command),
                ),
                None => (false, false),
            },
            (None, Some(_)) => (self.live_spec(process).is_some(), false),
            (None, None) => (process.is_web(), false),
        }
    }

    fn quantity(&self, process: &ProcessType) -> u32 {
        let set = self.around.quantities.get(process).copied();
        set.unwrap_or_else(|| u32::from(process.is_web()))
    }

    fn processes(&self) -> Vec<ProcessPreview> {
        let live = self.live.iter().flat_map(|live| live.processes);
        let next = self.next.processes.into_iter().flatten();
        let mut names: BTreeSet<ProcessType> = live.chain(next).map(|spec| spec.process.clone()).collect();
        if names.is_empty() {
            names.insert(ProcessType::web());
        }
        let run = names.into_iter().filter(|process| !process.is_release());
        run.map(|process| self.process(process)).collect()
    }

    fn process(&self, process: ProcessType) -> ProcessPreview {
        let quantity = self.quantity(&process);
        let was = self.live_spec(&process).is_some();
        let (will_be, otherwise) = self.next_has(&process);
        let change = match (was, will_be) {
            (true, true) if otherwise => Change::Changed,
            (true, true) => Change::Unchanged,
            (true, false) => Change::Removed,
            (false, _) => Change::Added,
        };
        let surge = if was && will_be {
            self.next.settings.strategy.surge(quantity)
        } else {
            0
        };
        ProcessPreview {
            process,
            change,
            start: if will_be { quantity } else { 0 },
            stop: if was { quantity } else { 0 },
            at_most: if quantity == 0 { 0 } else { quantity + surge },
        }
    }

    fn routes(&self) -> Vec<RoutePreview> {
        let process = ProcessType::web();
        let change = match (self.live_spec(&process).is_some(), self.next_has(&process).0) {
            (true, true) => Change::Unchanged,
            (false, true) => Change::Added,
            (true, false) => Change::Removed,
            (false, false) => return Vec::new(),
        };
        vec![RoutePreview {
            host: self.around.host.clone(),
            path: "/".to_owned(),
            process,
            change,
        }]
    }

    fn downtime(&self) -> Downtime {
        let web = ProcessType::web();
        let settings = self.next.settings;
        let serves = self.live_spec(&web).is_some() && self.quantity(&web) > 0;
        let Some(live) = self.live.filter(|_| serves) else {
            return no_downtime("nothing answers now that could stop answering".to_owned());
        };
        if !self.next_has(&web).0 {
            return Downtime {
                expected: Expected::Yes,
                reason: format!("{} has no `web`: the host answers 503 from then on", self.next.version),
                seconds: None,
            };
        }
        match (settings.strategy, &settings.health.path) {
            (Strategy::Recreate, _) => self.recreated(live),
            (Strategy::Rolling | Strategy::BlueGreen, Some(path)) => no_downtime(format!(
                "an instance of {} takes requests when {path} answers, and only then one of {} goes",
                self.next.version, live.version
            )),
            (Strategy::Rolling | Strategy::BlueGreen, None) => Downtime {
                expected: Expected::NotJudged,
                reason: "there is no health path: an instance counts as ready when its port accepts a connection, which may be \
                         before it can answer"
                    .to_owned(),
                seconds: None,
            },
        }
    }

    fn recreated(&self, live: &LiveRelease<'_>) -> Downtime {
        let starts = self.around.last_starts;
        let longest = starts.iter().max().map(|longest| longest.as_secs_f64().ceil());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float becomes the nearest whole number that there is"
        )]
        let seconds = longest.map(|seconds| seconds as u32);
        let about = match seconds {
            Some(seconds) => format!("about {seconds} s as the last starts took {}", in_seconds(starts)),
            None => "nobody knows how long, for nothing was ever started".to_owned(),
        };
        Downtime {
            expected: Expected::Yes,
            reason: format!(
                "the strategy `recreate` ends all instances of {} before the first of {} starts: nothing answers from then until \
                 it is healthy, {about}",
                live.version, self.next.version
            ),
            seconds,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let specs = self.next.processes.or(self.live.map(|live| live.processes));
        if specs.into_iter().flatten().any(|spec| spec.process.is_release()) {
            warnings.push(match self.live {
                Some(live) => format!(
                    "the release command runs before, while {} serves: both must work with what it changes",
                    live.version
                ),
                None => "the release command runs before".to_owned(),
            });
        }
        for process in self.processes() {
            let ProcessPreview {
                process, change, stop, ..
            } = process;
            match change {
                Change::Removed if stop > 0 => warnings.push(format!(
                    "{} has no process type `{process}`: instances of it that run now ({stop}) are stopped",
                    self.next.version
                )),
                Change::Added | Change::Changed | Change::Unchanged
                    if process.is_web() && self.quantity(&process) == 0 =>
                {
                    warnings.push("`web` is scaled to 0: its host answers 503".to_owned());
                }
                _ => {}
            }
        }
        warnings
    }
}

const fn no_downtime(reason: String) -> Downtime {
    Downtime {
        expected: Expected::None,
        reason,
        seconds: None,
    }
}

/// `0.8 s, 1.2 s`.
fn in_seconds(times: &[Duration]) -> String {
    let times = times.iter().map(|time| format!("{:.1} s", time.as_secs_f64()));
    times.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
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
}
