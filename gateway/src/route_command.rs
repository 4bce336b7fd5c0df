//! `warmgate route explain`: what a configuration would do with a request, with no gateway running.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use thiserror::Error;
use warmgate_routing::request::{Api, InferenceRequest};

use crate::config::{ConfigError, Overrides, Routes, Source};
use crate::error::GatewayError;
use crate::proxy::guards::{Guards, SavedGuards};
use crate::proxy::headers;
use crate::proxy::plan::with_rng;
use crate::proxy::target::Asked;
use crate::telemetry::metrics::Metrics;

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Which rule takes a request, which target, and why: as JSON
    Explain(ExplainArgs),
}

/// Flags of `warmgate route explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Path of the request
    #[arg(long, default_value = "/v1/chat/completions")]
    pub path: String,
    /// A header of the request, as `name: value`; again for each further one
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// File with the JSON body of the request; `-`: standard input
    #[arg(value_name = "REQUEST", default_value = "-")]
    pub request: PathBuf,
}

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file with the request cannot be read.
    #[error("{}: {reason}; name a file with the JSON body of a request, or `-`", path.display())]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The request would be refused.
    #[error("{} {}: {}", .0.status().as_u16(), .0.code(), .0)]
    Refused(#[from] GatewayError),
}

/// Explains one request.
///
/// # Errors
/// Where the configuration or the request cannot be used, and where the request would be refused.
pub fn explain(arguments: &ExplainArgs) -> Result<Value, ExplainError> {
    let source = Source {
        file: Some(arguments.config.clone()),
        overrides: Overrides::default(),
    };
    let config = source.load()?;
    let body =
        read(arguments, config.limits.body_bytes).map_err(|reason| ExplainError::Unreadable {
            path: arguments.request.clone(),
            reason,
        })?;
    let headers = arguments.headers.iter().cloned().collect();
    Ok(choice(&config.routes, &arguments.path, &headers, &body)?)
}

fn read(arguments: &ExplainArgs, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if arguments.request.as_os_str() == "-" {
        std::io::stdin().take(bytes_max).read_to_end(&mut body)?;
    } else {
        let file = std::fs::File::open(&arguments.request)?;
        file.take(bytes_max).read_to_end(&mut body)?;
    }
    Ok(body)
}

fn choice(
    routes: &Routes,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, GatewayError> {
    let api = Api::from_path(path).ok_or(GatewayError::NoSuchPath)?;
    let request = InferenceRequest::parse(api, body)?;
    let asked = Asked {
        head: headers::described(path, headers),
        request: &request,
    };
    let known = || routes.exact().map(|(model, _)| model.to_owned()).collect();
    // As at the start of a gateway: every canary is at its first step.
    let guards = Guards::of_routes(
        routes,
        &Arc::new(Metrics::new()),
        &Guards::default(),
        &SavedGuards::new(),
    );
    let choice = with_rng(|rng| asked.choose((routes, &guards), known, rng))?;
    Ok(choice.shown(request.model.as_deref().unwrap_or_default(), &guards))
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `name: value`")?;
    let name = name.trim().parse::<HeaderName>();
    let value = HeaderValue::from_str(value.trim());
    Ok((
        name.map_err(|error| error.to_string())?,
        value.map_err(|error| error.to_string())?,
    ))
}
