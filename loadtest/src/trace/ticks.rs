//! Some traces round arrivals to ticks of seconds. Sent as recorded they would be bursts that
//! never happened, so requests of one tick are spread evenly until the next.

use std::time::Duration;

use super::TraceRequest;

/// Spreads requests with equal arrival. They must be in order of arrival. A group is spread over
/// the gap to the next arrival, but no longer than the median gap, so that an idle hour does not
/// stretch the tick before it.
pub(super) fn spread(requests: &mut [TraceRequest]) {
    let mut gaps: Vec<Duration> = requests
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .filter(|gap| !gap.is_zero())
        .collect();
    gaps.sort_unstable();
    let Some(&median) = gaps.get(gaps.len() / 2) else {
        return;
    };
    let mut start = 0;
    while start < requests.len() {
        let at = requests[start].at;
        let count = requests[start..]
            .iter()
            .take_while(|request| request.at == at)
            .count();
        let gap = requests
            .get(start + count)
            .map_or(median, |next| (next.at - at).min(median));
        for (index, request) in requests[start..start + count].iter_mut().enumerate() {
            request.at = at + gap.mul_f64(index as f64 / count as f64);
        }
        start += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::TracePrompt;

    fn spread_ms(arrivals: &[u64]) -> Vec<u64> {
        let mut requests: Vec<TraceRequest> = arrivals
            .iter()
            .map(|ms| TraceRequest {
                at: Duration::from_millis(*ms),
                input_tokens: 1,
                output_tokens: 1,
                session: None,
                took: None,
                prompt: TracePrompt::Blocks(Vec::new()),
            })
            .collect();
        spread(&mut requests);
        requests
            .iter()
            .map(|request| request.at.as_millis() as u64)
            .collect()
    }

    #[test]
    fn ticks_are_spread_and_distinct_times_kept() {
        assert_eq!(
            spread_ms(&[0, 0, 0, 3000, 3000]),
            [0, 1000, 2000, 3000, 4500]
        );
        assert_eq!(spread_ms(&[5, 90, 91]), [5, 90, 91]);
        assert!(spread_ms(&[]).is_empty());
        assert_eq!(spread_ms(&[7, 7]), [7, 7], "a single tick has no length");
    }

    #[test]
    fn an_idle_hour_does_not_stretch_a_tick() {
        let hour = 3_600_000;
        let arrivals = [0, 100, 200, 200, hour, hour + 100, hour + 200];
        assert_eq!(spread_ms(&arrivals)[3], 250);
    }
}
