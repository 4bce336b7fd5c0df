//! CPU time of another process, by the kernel's account.

use crate::Failure;

/// Clock ticks in a second; fixed at 100 for user space on Linux (`man 5 proc`, `sysconf(3)`).
const TICKS_PER_S: f64 = 100.0;

/// User and system time of the process so far, all its threads, in microseconds. Steps of 10 ms.
pub fn micros(process: u32) -> Result<f64, Failure> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let ticks = ticks(&stat).ok_or_else(|| format!("{path} cannot be understood"))?;
    Ok(ticks / TICKS_PER_S * 1e6)
}

fn ticks(stat: &str) -> Option<f64> {
    // The name in parentheses may hold anything; the fields count from behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_behind_the_name() {
        let stat = "1 (a ) b) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1 2 3";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("1 (a) S 1"), None);
    }
}
