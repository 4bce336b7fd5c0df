//! Whether what a real vLLM server reports brings predictions of its cache nearer to it: each case
//! is held with a gateway that only measures, and with one that learns.

mod cases;
mod gateway;
mod table;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use self::cases::{Case, SETTINGS, Setting};
use self::gateway::{Gateway, Span};
use self::table::{HEAD, Measured, Row};
use crate::Failure;
use crate::leash::{Leashed, free_ports};
use crate::real_engine::{Args, Bench, wait_for_engine};

/// Of a run that nothing interrupts.
const WHOLE: Span = Span {
    skip: 0,
    requests: 1_000,
};
/// Before a restart; these are not judged.
const BEFORE: Span = Span {
    skip: 0,
    requests: 300,
};
/// After it: enough for nearly every conversation to come back once.
const AFTER: Span = Span {
    skip: 300,
    requests: 200,
};
const DOOR_OPENS_WITHIN: Duration = Duration::from_secs(30);

/// Starts one engine after another with gateways in front, measures every case, stops everything.
///
/// Errs where an error does not shrink as claimed, and where one cannot be measured.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let bench = Bench::prepare(root, args)?;
    bench.print_circumstances()?;
    println!("\n{HEAD}");
    let mut rows = Vec::new();
    for setting in &SETTINGS {
        let mut trial = Trial::start(&bench, setting)?;
        for &case in setting.cases {
            let row = trial.measure(case)?;
            println!("{row}");
            rows.push(row);
        }
    }
    table::judge(&rows)
}

/// An engine that is up, and how it was started.
struct Trial<'a> {
    bench: &'a Bench<'a>,
    setting: &'a Setting,
    address: SocketAddr,
    engine: Option<Leashed>,
}

impl<'a> Trial<'a> {
    fn start(bench: &'a Bench<'a>, setting: &'a Setting) -> Result<Trial<'a>, Failure> {
        let [address] = free_ports()?;
        let mut trial = Trial {
            bench,
            setting,
            address,
            engine: None,
        };
        trial.restart()?;
        Ok(trial)
    }

    /// Ends the engine where one runs, and starts it at the same address.
    fn restart(&mut self) -> Result<(), Failure> {
        drop(self.engine.take());
        let flags = self.setting.engine;
        let mut engine = self.bench.start_engine("vllm-1", self.address, flags)?;
        eprintln!("a vLLM server is starting: about a minute");
        wait_for_engine(&mut engine, self.address)?;
        self.engine = Some(engine);
        Ok(())
    }

    fn measure(&mut self, case: Case) -> Result<Row, Failure> {
        let (endpoint, _door) = self.open(case)?;
        let start = |learns| Gateway::start(self.bench, case, endpoint, learns);
        let [without, with] = if self.setting.restarts {
            let gateways = [start(false)?, start(true)?];
            self.measure_restart(gateways)?
        } else {
            [
                self.hold(&start(false)?, WHOLE)?,
                self.hold(&start(true)?, WHOLE)?,
            ]
        };
        Ok(Row {
            case,
            without,
            with,
        })
    }

    /// Both see the same restart.
    fn measure_restart(&mut self, mut gateways: [Gateway; 2]) -> Result<[Measured; 2], Failure> {
        for gateway in &gateways {
            self.hold(gateway, BEFORE)?;
        }
        self.restart()?;
        for gateway in &mut gateways {
            gateway.wait_until_ready()?;
        }
        let [without, with] = &gateways;
        Ok([self.hold(without, AFTER)?, self.hold(with, AFTER)?])
    }

    fn hold(&self, gateway: &Gateway, span: Span) -> Result<Measured, Failure> {
        gateway.hold(
            self.bench,
            span,
            self.setting.is_silent.then_some(self.address),
        )
    }

    /// Where gateways reach the engine. A door stays as long as what is returned.
    fn open(&self, case: Case) -> Result<(SocketAddr, Option<Leashed>), Failure> {
        if !case.is_behind_door {
            return Ok((self.address, None));
        }
        let [door] = free_ports()?;
        let ports = [door, self.address].map(|address| address.port().to_string());
        let mut process = self.bench.start_script("door.py", &ports)?;
        process.wait_until_ok(door, "/health", DOOR_OPENS_WITHIN)?;
        Ok((door, Some(process)))
    }
}
