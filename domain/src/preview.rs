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
        config: live.map_or_else(
            || ConfigDifference::between(&Vars::new(), next.config),
            |live| ConfigDifference::between(live.config, next.config),
        ),
        settings: live.map_or_else(Vec::new, |live| settings_difference(live.settings, next.settings)),
        processes: takeover.processes(),
        processes_assumed: next.processes.is_none(),
        routes: takeover.routes(),
        downtime: takeover.downtime(),
        warnings: takeover.warnings(),
    }
}

impl ConfigDifference {
    /// What makes `after` of `before`.
    pub fn between(before: &BTreeMap<ConfigKey, Secret>, after: &BTreeMap<ConfigKey, Secret>) -> Self {
        let mut difference = Self::default();
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

    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
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
mod tests;
