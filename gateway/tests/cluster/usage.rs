//! What a process takes of the machine, by `/proc`.

use std::time::{Duration, Instant};

/// Kernel's clock ticks a second in `/proc`: a constant of Linux's interface to programs.
const TICKS_PER_S: f64 = 100.0;

/// What a process has taken up to a moment.
pub struct Usage {
    process: u32,
    at: Instant,
    cpu: Duration,
}

impl Usage {
    /// Up to now.
    pub fn of(process: u32) -> Usage {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // The name in brackets may hold anything.
        let fields = text.rsplit_once(')').unwrap().1;
        let mut numbers = fields.split_whitespace().skip(11);
        let mut ticks = || numbers.next().unwrap().parse::<f64>().unwrap();
        let cpu = Duration::from_secs_f64((ticks() + ticks()) / TICKS_PER_S);
        Usage {
            process,
            at: Instant::now(),
            cpu,
        }
    }

    /// What it has taken since then, in words.
    pub fn since(&self) -> String {
        let now = Usage::of(self.process);
        let wall = now.at - self.at;
        let share = (now.cpu - self.cpu).as_secs_f64() / wall.as_secs_f64();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            kib.unwrap().parse::<u64>().unwrap() / 1024
        };
        format!(
            "{share:.2} cores over {:.0} s, {} MiB resident, {} MiB at most",
            wall.as_secs_f64(),
            mib("VmRSS:"),
            mib("VmHWM:")
        )
    }
}
