//! The engine's Prometheus page, under vLLM's names and with its label order, so that what
//! scrapes real engines scrapes this one.

use std::fmt::Write as _;

use super::config::EngineConfig;
use super::runner::Glance;

/// What the page needs besides the model's own numbers.
pub(super) struct PageContext<'a> {
    pub config: &'a EngineConfig,
    /// Unix seconds.
    pub started_at_s: f64,
}

/// The whole page.
pub(super) fn page(context: &PageContext<'_>, glance: &Glance) -> String {
    let model = escape_label(&context.config.models[0]);
    let labels = format!(r#"engine="0",model_name="{model}""#);
    let mut page = Page {
        out: String::with_capacity(4096),
        labels,
        context,
    };
    page.process();
    page.gauges(glance);
    page.counters(glance);
    page.prompt_sources(glance);
    page.cache_config();
    page.out
}

struct Page<'a> {
    out: String,
    labels: String,
    context: &'a PageContext<'a>,
}

impl Page<'_> {
    fn process(&mut self) {
        self.family(
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
        );
        let _ = writeln!(
            self.out,
            "process_start_time_seconds {}",
            self.context.started_at_s
        );
    }

    fn gauges(&mut self, glance: &Glance) {
        let gauge = "gauge";
        self.single(
            (
                "vllm:num_requests_running",
                gauge,
                "Number of requests in model execution batches.",
            ),
            glance.running as f64,
        );
        self.single(
            (
                "vllm:num_requests_waiting",
                gauge,
                "Number of requests waiting to be processed.",
            ),
            glance.waiting as f64,
        );
        self.single(
            (
                "vllm:kv_cache_usage_perc",
                gauge,
                "KV-cache usage. 1 means 100 percent usage.",
            ),
            glance.usage_ratio,
        );
    }

    fn counters(&mut self, glance: &Glance) {
        let counter = "counter";
        let totals = &glance.counters;
        let singles = [
            (
                "vllm:prefix_cache_queries_total",
                "Prefix cache queries, in terms of number of queried tokens.",
                totals.prefix_queries_tokens,
            ),
            (
                "vllm:prefix_cache_hits_total",
                "Prefix cache hits, in terms of number of cached tokens.",
                totals.prefix_hits_tokens,
            ),
            (
                "vllm:external_prefix_cache_queries_total",
                "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.",
                totals.host_queries_tokens,
            ),
            (
                "vllm:external_prefix_cache_hits_total",
                "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.",
                totals.host_hits_tokens,
            ),
            (
                "vllm:prompt_tokens_total",
                "Number of prefill tokens processed.",
                totals.prompt_tokens,
            ),
            (
                "vllm:prompt_tokens_cached_total",
                "Number of cached prompt tokens (local + external).",
                totals.prompt_device_tokens + totals.prompt_host_tokens,
            ),
            (
                "vllm:generation_tokens_total",
                "Number of generation tokens processed.",
                totals.generation_tokens,
            ),
            (
                "vllm:num_preemptions_total",
                "Cumulative number of preemption from the engine.",
                // Admission reserves room for the whole answer, so nothing is preempted.
                0,
            ),
        ];
        for (name, help, value) in singles {
            self.single((name, counter, help), value as f64);
        }
        let name = "vllm:request_success_total";
        self.family(name, counter, "Count of successfully processed requests.");
        let by_reason = [
            ("stop", 0),
            ("length", totals.finished),
            ("abort", totals.aborted),
        ];
        for (reason, value) in by_reason {
            let model = escape_label(&self.context.config.models[0]);
            let _ = writeln!(
                self.out,
                r#"{name}{{engine="0",finished_reason="{reason}",model_name="{model}"}} {:?}"#,
                value as f64
            );
        }
    }

    /// Where the tokens of prompts came from; on the page with and without a host tier.
    fn prompt_sources(&mut self, glance: &Glance) {
        let totals = &glance.counters;
        self.by_source(
            "vllm:prompt_tokens_by_source_total",
            "Number of prompt tokens by source.",
            &[
                ("local_compute", totals.prompt_computed_tokens),
                ("local_cache_hit", totals.prompt_device_tokens),
                ("external_kv_transfer", totals.prompt_host_tokens),
            ],
        );
        self.by_source(
            "vllm:prompt_tokens_cached_by_source_total",
            "Prefix-cache hit tokens by the cache tier that supplied them.",
            &[
                ("device", totals.prefix_hits_tokens),
                ("host", totals.host_hits_tokens),
                ("p2p", 0),
                ("disk", 0),
                ("external_unspecified", 0),
            ],
        );
    }

    fn by_source(&mut self, name: &str, help: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help);
        for (source, value) in values {
            let _ = writeln!(
                self.out,
                r#"{name}{{{labels},source="{source}"}} {value:?}"#,
                labels = self.labels,
                value = *value as f64
            );
        }
    }

    fn cache_config(&mut self) {
        let name = "vllm:cache_config_info";
        self.family(name, "gauge", "Information of the LLMEngine CacheConfig");
        let config = self.context.config;
        let blocks = config.capacity_tokens / config.block_tokens;
        let _ = writeln!(
            self.out,
            r#"{name}{{block_size="{block}",enable_prefix_caching="True",engine="0",kv_cache_size_tokens="{tokens}",num_cpu_blocks="None",num_gpu_blocks="{blocks}"}} 1.0"#,
            block = config.block_tokens,
            tokens = blocks * config.block_tokens,
        );
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn single(&mut self, (name, kind, help): (&str, &str, &str), value: f64) {
        self.family(name, kind, help);
        // Debug keeps the ".0" that vLLM's page has.
        let _ = writeln!(self.out, "{name}{{{}}} {value:?}", self.labels);
    }
}

/// Escapes a label value as the Prometheus text format wants it.
fn escape_label(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape_label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
