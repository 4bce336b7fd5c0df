//! What flags of a simulation may say: numbers with limits, spans of time, faults.

use std::time::Duration;

use warmgate_loadtest::simulate::capacity::LOAD_MAX;
use warmgate_loadtest::simulate::contender::EndpointIx;
use warmgate_loadtest::simulate::scenario::{Fault, FaultKind};

/// Most engines of a simulated fleet.
pub(super) const ENDPOINTS_MAX: usize = 1024;
/// Most tokens of one cache: more than any host has memory for.
pub(super) const TOKENS_MAX: u64 = 1_000_000_000;

/// Engines of a fleet.
pub(super) fn endpoints(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=ENDPOINTS_MAX).contains(number))
        .ok_or_else(|| format!("must be 1..={ENDPOINTS_MAX}"))
}

/// Tokens, plain or in thousands or millions, as in 500k or 1M.
pub(super) fn tokens(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|tokens| *tokens <= TOKENS_MAX)
        .ok_or_else(|| format!("must be 0..={TOKENS_MAX}, as in 500000, 500k or 1M"))
}

/// A multiple of the recorded load.
pub(super) fn load(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|load| *load > 0.0 && *load <= LOAD_MAX)
        .ok_or_else(|| format!("must be above 0 and at most {LOAD_MAX}"))
}

/// A share.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| "must be 0..=1".to_owned())
}

/// A speed or a rate: neither nothing nor endless.
pub(super) fn above_zero(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && number.is_finite())
        .ok_or_else(|| "must be above 0 and finite".to_owned())
}

/// As in `restart@60s:2:10s`: what, when, to which endpoint, and for how long.
pub(super) fn fault(text: &str) -> Result<Fault, String> {
    let form = || "must be KIND@WHEN:ENDPOINT:LASTS, as in restart@60s:2:10s".to_owned();
    let (kind, rest) = text.split_once('@').ok_or_else(form)?;
    let kind = match kind {
        "restart" => FaultKind::Restart,
        "blip" => FaultKind::Blip,
        _ => return Err("KIND must be restart or blip".to_owned()),
    };
    let parts: Vec<&str> = rest.split(':').collect();
    let [at, endpoint, lasts] = parts[..] else {
        return Err(form());
    };
    Ok(Fault {
        at: span(at)?,
        endpoint: EndpointIx(endpoint.parse().map_err(|_| form())?),
        kind,
        lasts: span(lasts)?,
    })
}

/// As in 500ms, 10s, 2m or 1h.
fn span(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    found.ok_or_else(|| format!("{text} is no span of time such as 500ms, 10s, 2m or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inside() {
        assert_eq!(endpoints("1"), Ok(1));
        assert_eq!(endpoints("1024"), Ok(1024));
        assert!(endpoints("0").is_err() && endpoints("1025").is_err() && endpoints("x").is_err());
        assert_eq!(tokens("1000M"), Ok(TOKENS_MAX));
        assert_eq!((tokens("0"), tokens("500k")), (Ok(0), Ok(500_000)));
        for wrong in [
            "1001M",
            "1000000001",
            "-1",
            "1G",
            "k",
            "18446744073709551615M",
        ] {
            assert!(tokens(wrong).is_err(), "{wrong}");
        }
        assert_eq!((load("256"), load("1e-3")), (Ok(256.0), Ok(0.001)));
        for wrong in ["0", "-1", "inf", "NaN", "256.1", ""] {
            assert!(load(wrong).is_err(), "{wrong}");
        }
        assert_eq!((ratio("0"), ratio("1")), (Ok(0.0), Ok(1.0)));
        assert!(ratio("1.01").is_err() && ratio("NaN").is_err());
        assert!(above_zero("0").is_err() && above_zero("inf").is_err());
    }

    #[test]
    fn faults_have_a_form() {
        assert_eq!(
            fault("restart@1.5m:2:500ms"),
            Ok(Fault {
                at: Duration::from_secs(90),
                endpoint: EndpointIx(2),
                kind: FaultKind::Restart,
                lasts: Duration::from_millis(500),
            })
        );
        assert_eq!(
            fault("blip@0s:0:1h").map(|fault| fault.kind),
            Ok(FaultKind::Blip)
        );
        for wrong in [
            "restart",
            "fire@1s:0:1s",
            "blip@1s:0",
            "blip@1s:0:1s:1s",
            "blip@1:0:1s",
            "blip@-1s:0:1s",
            "blip@1s:x:1s",
        ] {
            assert!(fault(wrong).is_err(), "{wrong}");
        }
    }
}
