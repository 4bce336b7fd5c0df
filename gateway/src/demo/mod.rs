//! What Warmgate is good for, shown in a minute on one machine without a GPU.
//!
//! The same conversations twice, each time in front of four simulated engines that start cold:
//!
//! ```text
//! load --> warmgate serve --policy round_robin --> 4 engines     then all of it is thrown away
//! load --> warmgate serve                      --> 4 engines     stays up, so that people can try it
//! ```
//!
//! Engines and load live in this process, each gateway is a child process of the same binary, as it
//! would run anywhere. Every number comes from what the client saw. The engines keep the pace of a
//! 70B-class model on four H100 ([`warmgate_loadtest::engine`]); they are not sped up.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a part of the command line: its answer is text"
)]

use std::net::SocketAddr;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::DemoArgs;

mod comparison;
mod engines;
mod error;
mod gateway_process;
mod load;

use comparison::Comparison;
use engines::Engines;
pub use error::DemoError;
use gateway_process::{GatewayProcess, Settings};

/// The policy that the default is compared with.
const BASELINE_POLICY: &str = "round_robin";

/// Runs the comparison and, unless asked to end there, serves on until told to stop.
///
/// # Errors
/// Where an address is taken, a gateway does not come up, or the run is interrupted. With `--once`
/// also where requests failed or the default policy hit no more than the baseline.
pub fn run(arguments: &DemoArgs) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(DemoError::System)?;
    runtime.block_on(async {
        let mut stop = StopSignals::listen().map_err(DemoError::System)?;
        let mut stage = tokio::select! {
            stage = Stage::set(arguments) => stage?,
            () = stop.received() => return Err(DemoError::Interrupted),
        };
        println!("{}", stage.comparison);
        if arguments.once {
            return stage.comparison.verdict();
        }
        println!("{}", stage.invitation());
        tokio::select! {
            // Ctrl-C reaches the gateway as well.
            biased;
            () = stop.received() => Ok(()),
            error = stage.gateway.ended() => Err(error),
        }
    })
}

/// The address that a flag gives, any free one where its port is 0.
fn free_address(flag: &'static str, address: SocketAddr) -> Result<SocketAddr, DemoError> {
    warmgate_loadtest::free_address(address).map_err(|source| DemoError::Address {
        flag,
        address,
        source,
    })
}

/// What is up once the comparison is done.
struct Stage {
    comparison: Comparison,
    // Dropped in this order: a gateway whose engines vanish first would report it.
    gateway: GatewayProcess,
    _engines: Engines,
}

impl Stage {
    async fn set(arguments: &DemoArgs) -> Result<Stage, DemoError> {
        // Before anything takes time: whether the second gateway will find its addresses free.
        let listen = free_address("--listen", arguments.listen)?;
        let admin = free_address("--admin", arguments.admin)?;
        println!("{}", load::introduction());

        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            listen: free_address("--listen", any_port)?,
            admin: free_address("--admin", any_port)?,
            policy: Some(BASELINE_POLICY),
        };
        let engines = Engines::start().await?;
        let gateway = GatewayProcess::start(settings, &engines.urls()).await?;
        let baseline = load::send(&gateway.url(), BASELINE_POLICY).await?;
        drop((gateway, engines));

        let settings = Settings {
            listen,
            admin,
            policy: None,
        };
        let engines = Engines::start().await?;
        let gateway = GatewayProcess::start(settings, &engines.urls()).await?;
        let warm = load::send(&gateway.url(), "warmgate").await?;
        Ok(Stage {
            comparison: Comparison { baseline, warm },
            gateway,
            _engines: engines,
        })
    }

    fn invitation(&self) -> String {
        format!(
            "warmgate is still up. A request, and what the gateway knows:\n\n\
             {space}curl -N {url}/v1/chat/completions -H 'content-type: application/json' \\\n\
             {space}  -d '{{\"model\":\"{model}\",\"stream\":true,\"max_tokens\":16,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\
             {space}curl {admin}/endpoints\n\n\
             Ctrl-C ends it.",
            space = "  ",
            url = self.gateway.url(),
            admin = self.gateway.admin_url(),
            model = engines::MODEL,
        )
    }
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_an_error_that_names_the_flag() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let holder = std::net::TcpListener::bind(any).unwrap();
        let taken = holder.local_addr().unwrap();
        let error = free_address("--listen", taken).unwrap_err().to_string();
        assert!(
            error.contains("--listen") && error.contains(&taken.to_string()),
            "{error}"
        );
        assert_ne!(free_address("--listen", any).unwrap().port(), 0);
    }
}
