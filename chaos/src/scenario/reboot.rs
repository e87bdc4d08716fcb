//! A reboot: at a random instant of a deployment engine, router, Postgres, dockerd and all containers die at once, what lay in memory is
//! gone, and all of it is started again, in either order.
//!
//! After a boot the numbers in pid files belong to strangers. In every second trial the one that Postgres left does: a process of
//! Postgres' own user has it.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use super::{
    Run,
    dockerd::{held_against_nobody, stage_on_with},
    kill::{Moment, finish, next, recover},
    tell,
};
use crate::{
    check::Violation,
    machine::power_off,
    private_docker::PrivateDocker,
    report::Tally,
    stage::{PATIENCE, Setup, Stage},
    world::{gap_probe, router_pid},
};

const NAME: &str = "the machine reboots";
const KINDS: [&str; 6] = ["deploy", "push", "config", "scale", "rollback", "restart"];
/// How much later the second one comes up.
const APART: Duration = Duration::from_secs(3);

/// Whose turn it is first after the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    DockerFirst,
    EngineFirst,
}

/// Reboots at random instants.
pub async fn play(run: &Run) -> Tally {
    let mut tally = Tally::new(NAME);
    let started = PrivateDocker::start(run.chance(NAME, 0).percent(50)).await;
    let mut docker = started.expect("a private dockerd can be started");
    let setup = Setup {
        embedded: true,
        ..run.setup("reboot")
    };
    let mut stage = stage_on_with(setup, &docker).await;
    stage
        .settle(&mut tally, "the beginning", &stage.expected(), PATIENCE)
        .await;
    let clock = run.clock();
    for round in run.rounds_of(run.rounds.div_ceil(3)) {
        if !clock.goes_on() {
            break;
        }
        trial(&mut stage, &mut docker, &mut tally, (run, round)).await;
    }
    held_against_nobody(&stage, &mut tally).await;
    finish(stage, &mut tally).await;
    tally
}

async fn trial(stage: &mut Stage, docker: &mut PrivateDocker, tally: &mut Tally, (run, round): (&Run, u64)) {
    let mut chance = run.chance("reboot", round);
    let kind = *chance.one_of(&KINDS);
    let order = *chance.one_of(&[Order::DockerFirst, Order::EngineFirst]);
    let after = Duration::from_millis(chance.below(2500));
    let strange = chance.percent(50);
    let name = format!(
        "{round}: {kind}, power lost after {} ms, {order:?}{}",
        after.as_millis(),
        if strange {
            ", a stranger has Postgres' number"
        } else {
            ""
        }
    );
    let ask = next(stage, kind).await;
    tokio::select! {
        () = tokio::time::sleep(after) => {}
        _ = async { stage.sites[0].ask(ask).await; std::future::pending::<()>().await } => {}
    }
    let fault = Moment::now();
    if let Err(error) = lose_power(stage, docker).await {
        return tally.broke(&name, [Violation::new("harness", format!("{error:#}"))]);
    }
    let data = stage.engine.data_dir().join("postgres/data");
    let stranger = if strange {
        Stranger::named_in(&data.join("postmaster.pid"))
    } else {
        None
    };
    let begun = Instant::now();
    boot(stage, docker, order, (tally, &name)).await;
    tally.measure("boot until dockerd and engine are up", begun.elapsed(), None);
    drop(stranger);
    let up = Instant::now();
    for site in &stage.sites {
        if let Err(error) = gap_probe(&stage.engine.router(), &site.app.host(), PATIENCE).await {
            tally.broke(&name, [Violation::new("I4", format!("{error:#}"))]);
        }
    }
    tally.measure("every app serves after both are up", up.elapsed(), Some(5.0));
    tell(tally, &name);
    recover(stage, tally, &name, fault).await;
}

/// Everything dies, and what a boot loses is lost.
async fn lose_power(stage: &mut Stage, docker: &mut PrivateDocker) -> anyhow::Result<()> {
    let bridges = docker.bridges();
    let router = router_pid(stage.engine.data_dir()).await.unwrap_or_default();
    let first = [stage.engine.pid(), router, docker.pid()];
    power_off(&first, &[docker.folder(), stage.engine.data_dir()]).await?;
    stage.engine.kill9();
    docker.kill9();
    docker.lose_memory(&bridges);
    Ok(())
}

/// Both are started, one some seconds after the other.
async fn boot(stage: &mut Stage, docker: &mut PrivateDocker, order: Order, (tally, name): (&mut Tally, &str)) {
    let started = match order {
        Order::DockerFirst => {
            let started = docker.start_again().await;
            stage.engine.restart().await;
            started
        }
        Order::EngineFirst => {
            let later = async {
                tokio::time::sleep(APART).await;
                docker.start_again().await
            };
            let (_, started) = tokio::join!(stage.engine.restart(), later);
            started
        }
    };
    if let Err(error) = started {
        tally.broke(name, [Violation::new("dockerd", format!("{error:#}"))]);
    }
}

/// A process that has the number which a pid file names, with the user whose file it is. Ends when dropped.
struct Stranger(Child);

impl Stranger {
    /// Numbers cannot be chosen, so the file is made to name one that is.
    fn named_in(pid_file: &Path) -> Option<Self> {
        let meta = std::fs::metadata(pid_file).ok()?;
        let text = std::fs::read_to_string(pid_file).ok()?;
        let child = Command::new("sleep")
            .arg("600")
            .uid(meta.uid())
            .gid(meta.gid())
            .spawn()
            .ok()?;
        let (_, rest) = text.split_once('\n')?;
        std::fs::write(pid_file, format!("{}\n{rest}", child.id())).ok()?;
        Some(Self(child))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
