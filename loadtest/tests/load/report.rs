//! Numbers, table and page from known records, and files that come back as they were.

use warmgate_loadtest::replay::{Record, Run, RunMeta};
use warmgate_loadtest::report::{LATE_MS, load_runs, page, table};

/// A run of ten requests over two endpoints: TTFT 10, 20 .. 100 ms, the last one failed.
fn run(name: &str) -> Run {
    let record = |index: u64| Record {
        session: index,
        turn: 0,
        due_ms: index as f64 * 1000.0,
        late_ms: if index == 3 { LATE_MS + 1.0 } else { LATE_MS },
        status: Some(if index == 9 { 503 } else { 200 }),
        error: (index == 9).then(|| "status 503: busy".to_owned()),
        ttft_ms: Some((index + 1) as f64 * 10.0),
        tpot_ms: Some(5.0),
        e2e_ms: 500.0,
        prompt_tokens: Some(100),
        cached_tokens: Some(if index.is_multiple_of(2) { 80 } else { 20 }),
        output_tokens: 7,
        endpoint: Some(format!("10.0.0.{}:8000", index % 2)),
    };
    Run {
        meta: RunMeta {
            name: name.to_owned(),
            target: "http://gateway".to_owned(),
            model: "sim".to_owned(),
            load: "ten requests".to_owned(),
            time_scale: 1.0,
            stream: true,
            started_at_s: 1.5,
            duration_s: 10.0,
            skipped: 2,
            version: "0.0.0".to_owned(),
        },
        records: (0..10).map(record).collect(),
    }
}

#[test]
fn a_summary_counts_what_happened() {
    let summary = run("a").summary();
    assert_eq!(
        (
            summary.requests,
            summary.failed,
            summary.skipped,
            summary.late
        ),
        (10, 1, 2, 1)
    );
    assert_eq!(summary.hit_ratio, Some(0.5));
    let ttft = summary.ttft_ms.unwrap();
    assert_eq!(
        (ttft.count, ttft.p50, ttft.p90, ttft.max),
        (9, 50.0, 90.0, 90.0)
    );
    assert_eq!(summary.requests_per_s(), 0.9);
    assert_eq!(summary.output_tokens_per_s(), 7.0);
    let computed: Vec<u64> = summary
        .endpoints
        .iter()
        .map(|one| one.computed_tokens())
        .collect();
    assert_eq!(computed, [100, 400]);
    assert_eq!(summary.imbalance(), Some(1.6));
}

#[test]
fn a_server_that_tells_nothing_leaves_gaps_not_zeros() {
    let mut silent = run("silent");
    for record in &mut silent.records {
        (record.cached_tokens, record.ttft_ms, record.endpoint) = (None, None, None);
    }
    let summary = silent.summary();
    assert_eq!((summary.hit_ratio, summary.imbalance()), (None, None));
    assert!(summary.ttft_ms.is_none());
    let hits = table(&[summary])
        .lines()
        .find(|line| line.starts_with("hit ratio"))
        .unwrap()
        .to_owned();
    assert!(hits.ends_with(" -"), "{hits}");
    assert!(page(&[silent]).contains("not measured"));
}

#[test]
fn runs_stand_side_by_side() {
    let mut other = run("round_robin");
    other.records.truncate(4);
    let text = table(&[run("warmgate").summary(), other.summary()]);
    let expected = [
        "                    warmgate  round_robin",
        "requests                  10            4",
        "failed                     1            0",
        "skipped                    2            2",
        "sent late                  1            1",
        "duration, s             10.0         10.0",
        "requests/s              0.90         0.40",
        "output tokens/s            7            3",
        "hit ratio             50.0 %       50.0 %",
        "TTFT p50, ms            50.0         20.0",
        "TTFT p90, ms            90.0         40.0",
        "TTFT p99, ms            90.0         40.0",
        "TPOT p50, ms             5.0          5.0",
        "TPOT p90, ms             5.0          5.0",
        "TPOT p99, ms             5.0          5.0",
        "end to end p50, ms       500          500",
        "end to end p90, ms       500          500",
        "end to end p99, ms       500          500",
        "endpoints                  2            2",
        "busiest / mean          1.60         1.60",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_page_stands_alone_and_escapes_everything() {
    let mut hostile = run("<script>alert(1)</script>");
    hostile.meta.load = "\"><img>".to_owned();
    hostile.records[0].endpoint = Some("</svg><b>".to_owned());
    let html = page(&[run("plain & simple"), hostile]);
    for forbidden in [
        "<script",
        "<img",
        "</svg><b>",
        "src=",
        "href=",
        "@import",
        "url(",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("plain &amp; simple"));
    assert!(html.contains("prefers-color-scheme"));
    assert_eq!(html.matches("<svg").count(), 5);
    for tag in ["svg", "section", "table", "text", "title", "ul", "li"] {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(!html.contains("NaN") && !html.contains("inf"));
}

#[test]
fn a_page_without_requests_is_a_page() {
    let mut empty = run("empty");
    empty.records.clear();
    let html = page(&[empty]);
    assert_eq!(html.matches("not measured").count(), 5);
}

#[test]
fn files_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a"] {
        run(name).save(&folder.path().join(name)).unwrap();
    }
    std::fs::create_dir(folder.path().join("no run")).unwrap();
    assert_eq!(load_runs(folder.path()).unwrap(), [run("a"), run("b")]);
    let single = folder.path().join("b");
    assert_eq!(load_runs(&single).unwrap(), [run("b")]);
    std::fs::write(single.join("requests.jsonl"), "{}\n").unwrap();
    let error = load_runs(&single).unwrap_err().to_string();
    assert!(error.contains("requests.jsonl, line 1"), "{error}");
}
