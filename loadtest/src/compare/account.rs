//! What a process group costs and how busy the machine is, by the kernel's account in `/proc`.

use std::io;
use std::path::Path;

/// Clock ticks in a second; fixed at 100 for user space on Linux (`man 5 proc`, `sysconf(3)`).
const TICKS_PER_S: f64 = 100.0;
/// Bytes of a `/proc/*/stat` field are few; these are the fields of it that count (`man 5 proc`).
const STATE: usize = 0;
const GROUP: usize = 2;
const USER: usize = 11;
/// Of children that have ended and were waited for.
const CHILDREN_SYSTEM: usize = 14;

/// A process group at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Its processes that have not ended.
    pub processes: usize,
    /// User and system time since its start, of children that have ended too. Steps of 10 ms.
    pub cpu_s: f64,
    /// Sum of what each process had in memory at most. Pages that processes share count for each.
    pub peak_rss_bytes: u64,
}

/// Time of all processors since the machine started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    busy: u64,
    total: u64,
}

/// The group's usage so far.
///
/// # Errors
/// Where there is no `/proc`.
pub(super) fn usage(group: u32) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        let is_process = folder
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_process && let Some(one) = of_process(&folder, group) {
            usage.processes += one.processes;
            usage.cpu_s += one.cpu_s;
            usage.peak_rss_bytes += one.peak_rss_bytes;
        }
    }
    Ok(usage)
}

/// None for processes of other groups, and for those that are gone by now.
fn of_process(folder: &Path, group: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let mut usage = of_stat(&stat, group)?;
    if usage.processes > 0 {
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        usage.peak_rss_bytes = peak_rss_bytes(&status).unwrap_or(0);
    }
    Some(usage)
}

fn of_stat(stat: &str, group: u32) -> Option<Usage> {
    // The name in parentheses may hold anything; the fields count from behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    if fields.get(GROUP)?.parse::<u32>().ok()? != group {
        return None;
    }
    let times = fields.get(USER..=CHILDREN_SYSTEM)?;
    let ticks: u64 = times
        .iter()
        .filter_map(|time| time.parse::<u64>().ok())
        .sum();
    Some(Usage {
        // One that has ended and waits for its parent still has its times.
        processes: usize::from(fields[STATE] != "Z"),
        cpu_s: ticks as f64 / TICKS_PER_S,
        peak_rss_bytes: 0,
    })
}

fn peak_rss_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

impl Machine {
    /// The machine so far.
    ///
    /// # Errors
    /// Where there is no `/proc/stat` as Linux writes it.
    pub(super) fn now() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        Self::of_stat(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn of_stat(stat: &str) -> Option<Self> {
        let times = stat.strip_prefix("cpu ")?.lines().next()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests took is in user.
        let ticks: Vec<u64> = times
            .split_whitespace()
            .take(8)
            .filter_map(|time| time.parse().ok())
            .collect();
        let total = ticks.iter().sum();
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Self {
            busy: total - idle,
            total,
        })
    }

    /// Share of all processors that was not idle since then, 0..=1.
    pub(super) fn busy_since(self, then: Self) -> f64 {
        let total = self.total.saturating_sub(then.total).max(1);
        self.busy.saturating_sub(then.busy) as f64 / total as f64
    }
}

/// The load average over one minute; none where `/proc/loadavg` does not say.
pub(super) fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_behind_the_name() {
        let stat = "9 (a ) b) S 1 77 1 0 -1 4194560 100 0 0 0 250 50 4 6 20 0 4 0 1 2 3";
        let usage = of_stat(stat, 77).unwrap();
        assert_eq!((usage.processes, usage.cpu_s), (1, 3.1));
        assert!(of_stat(stat, 1).is_none(), "another group");
        let ended = stat.replace(") S", ") Z");
        assert_eq!(of_stat(&ended, 77).unwrap().processes, 0);
        assert!(of_stat("9 (a) S 1 77", 77).is_none());
    }

    #[test]
    fn peaks_are_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t  12 kB\nVmRSS:\t  8 kB\n";
        assert_eq!(peak_rss_bytes(status), Some(12 * 1024));
        assert_eq!(peak_rss_bytes("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn idle_time_is_not_busy() {
        let machine = |text| Machine::of_stat(text).unwrap();
        let then = machine("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1\n");
        let now = machine("cpu  40 0 20 110 20 0 10 0 0 0\n");
        assert_eq!(now.busy_since(then), 0.5);
        assert_eq!(then.busy_since(then), 0.0);
    }
}
