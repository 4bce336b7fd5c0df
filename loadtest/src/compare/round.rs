//! One gateway's turn: everything starts, the load is sent, everything stops.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ANY_ADDRESS;
use super::account::{self, Machine};
use super::ask;
use super::error::CompareError;
use super::fleet::{EngineFlags, Fleet, MODEL};
use super::gateway::Gateway;
use super::outcome::{EndpointOutcome, Measured, Outcome};
use super::placeholder::Places;
use super::process::{End, Group, LOOK_PAUSE};
use crate::free_address;
use crate::replay::{self, Load, Progress, ReplayOptions};

/// What is the same for every gateway.
#[derive(Clone, Debug)]
pub struct Round {
    /// What stands behind the gateway.
    pub engines: EngineFlags,
    /// What is sent.
    pub load: Load,
    /// How. Its target, model and name are replaced.
    pub replay: ReplayOptions,
    /// A gateway is ready once `GET` of this path succeeds.
    pub ready_path: String,
    /// Time for that.
    pub ready_limit: Duration,
    /// Time between that and the first request, in which a gateway may find its endpoints: none
    /// says in one way when it knows them all.
    pub settle: Duration,
    /// Time to end in good order.
    pub stop_limit: Duration,
    /// Where logs, configuration files and the run go, below the gateway's name.
    pub folder: PathBuf,
}

/// Measures one gateway. `on_progress` is called after every request and must not block. When
/// `stop` completes, everything ends and there is no outcome.
///
/// # Errors
/// Where a process cannot be started, ends by itself or is not ready in time, and when `stop`
/// completes.
pub async fn measure(
    round: &Round,
    gateway: &Gateway,
    on_progress: impl Fn(&Progress) + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Result<Outcome, CompareError> {
    tokio::select! {
        outcome = take_turn(round, gateway, on_progress) => outcome,
        // Dropping the turn kills what it has started.
        () = stop => Err(CompareError::Interrupted),
    }
}

async fn take_turn(
    round: &Round,
    gateway: &Gateway,
    on_progress: impl Fn(&Progress) + Send + Sync + 'static,
) -> Result<Outcome, CompareError> {
    let name = gateway.name();
    let folder = folder(&round.folder, name)?;
    let time_scale = round.replay.time_scale;
    let mut fleet = Fleet::start(&round.engines, time_scale, &folder).await?;
    let places = Places {
        listen: free_address(ANY_ADDRESS).map_err(CompareError::Port)?,
        upstreams: fleet.addresses(),
        folder: folder.clone(),
    };
    let mut group = Group::start(name, gateway.command(&places)?, &folder)?;
    until_ready(round, name, &mut group, places.listen).await?;
    sleep(round.settle).await;

    let usage_before = group.usage()?;
    let machine_before = Machine::now().map_err(CompareError::Account)?;
    let options = ReplayOptions {
        target: format!("http://{}", places.listen),
        model: Some(MODEL.to_owned()),
        name: name.to_owned(),
        ..round.replay.clone()
    };
    let run = replay::run(round.load.clone(), options, on_progress).await?;
    let machine_after = Machine::now().map_err(CompareError::Account)?;
    group.check_running()?;
    let usage_after = group.usage()?;
    let states = fleet.states().await?;

    if group.stop(round.stop_limit).await? == End::Killed {
        let limit_s = round.stop_limit.as_secs();
        tracing::warn!(
            gateway = name,
            limit_s,
            "did not end when told to and was killed"
        );
    }
    fleet.end();
    run.save(&folder)?;
    let endpoints = places.upstreams.into_iter().zip(&states);
    let measured = Measured {
        summary: run.summary(),
        time_scale,
        endpoints: endpoints
            .map(|(address, state)| EndpointOutcome::of(address, state))
            .collect(),
        usage: [usage_before, usage_after],
        machine_busy: machine_after.busy_since(machine_before),
        load_average: account::load_average(),
    };
    Ok(measured.outcome())
}

/// Makes the gateway's own folder; a relative path would mislead a gateway that changes its own.
fn folder(all: &Path, name: &str) -> Result<PathBuf, CompareError> {
    let folder = all.join(name);
    std::fs::create_dir_all(&folder)
        .and_then(|()| folder.canonicalize())
        .map_err(|source| CompareError::Start {
            name: format!("{name} in {}", folder.display()),
            source,
        })
}

/// Waits until the gateway answers.
async fn until_ready(
    round: &Round,
    name: &str,
    group: &mut Group,
    listen: SocketAddr,
) -> Result<(), CompareError> {
    let deadline = Instant::now() + round.ready_limit;
    loop {
        group.check_running()?;
        let answer = match ask::get(listen, &round.ready_path).await {
            Ok((status, _)) if status.is_success() => return Ok(()),
            Ok((status, _)) => format!("status {status}"),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            return Err(CompareError::NotReady {
                name: name.to_owned(),
                url: format!("http://{listen}{}", round.ready_path),
                limit_s: round.ready_limit.as_secs(),
                answer,
                said: group.last_words(),
            });
        }
        sleep(LOOK_PAUSE).await;
    }
}
