//! The command line: what can be typed, and what each flag overrides.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use warmgate_routing::Policy;

use crate::config::{ConfigError, Overrides, ServiceRef, Source, UpstreamUrl, limit};
use crate::reference::Document;
use crate::route_command::RouteCommand;

/// Exit status where flags or a configuration cannot be used (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Sends each prompt to the model server whose KV cache is already warm for it
#[derive(Debug, Parser)]
#[command(name = "warmgate", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(ServeArgs),
    /// Check a configuration: exit status 0, or 64 with each key and what to write instead
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Ask a configuration about its routes, with no gateway running
    #[command(subcommand)]
    Route(RouteCommand),
    /// Show what it is good for: simulated engines, the gateway, a small load, and a comparison
    Demo(DemoArgs),
    /// Print a document that is generated from the program
    #[command(hide = true)]
    Reference {
        /// Which
        document: Document,
    },
}

/// Flags of `warmgate serve`. They win over the file, also when it is reloaded.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file, read again when it changes
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port for clients [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Address and port of health, metrics and the admin API [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// A model server, as http://host:port; again for each further one, or with commas between. In
    /// place of the file's pools and routes: one pool `main` that takes every model
    #[arg(long = "upstream", value_name = "URL", value_delimiter = ',')]
    pub upstreams: Vec<UpstreamUrl>,
    /// A Service in Kubernetes, whose endpoints are followed: likewise one pool `main`
    #[arg(
        long,
        value_name = "NAMESPACE/NAME[:PORT]",
        conflicts_with = "upstreams"
    )]
    pub service: Option<ServiceRef>,
    /// Kubeconfig file of the cluster [default: in a pod its own account, else what KUBECONFIG names,
    /// or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How an endpoint is chosen, in every pool [default: cost]
    #[arg(long, value_name = "NAME", value_parser = policy_name())]
    pub policy: Option<&'static str>,
    /// Threads that forward requests [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limit::THREADS_MAX)))]
    pub threads: Option<u32>,
    /// End when standard input does: a gateway that `warmgate demo` starts must not outlive it
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Flags of `warmgate demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the comparison in place of serving on
    #[arg(long)]
    pub once: bool,
    /// Address and port for clients; port 0: any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address and port of health, metrics and the admin API; port 0: any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// Where it cannot be meant, and where help or the version was asked for: print it, and exit
    /// with [`exit_status`].
    pub fn read<I, T>(line: I) -> Result<Cli, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        Cli::try_parse_from(line)
    }
}

/// 0 where help or the version was asked for, else [`EXIT_USAGE`].
#[must_use]
pub fn exit_status(error: &clap::Error) -> u8 {
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

impl ServeArgs {
    /// Where the configuration comes from.
    #[must_use]
    pub fn source(self) -> Source {
        Source {
            file: self.config,
            overrides: Overrides {
                listen: self.listen,
                admin: self.admin,
                threads: self.threads,
                upstreams: self.upstreams,
                service: self.service,
                kubeconfig: self.kubeconfig,
                policy: self.policy,
            },
        }
    }
}

/// `warmgate check FILE`: what the file says means something.
///
/// # Errors
/// Where it does not: exit with [`EXIT_USAGE`].
pub fn check(file: PathBuf) -> Result<(), ConfigError> {
    let source = Source {
        file: Some(file),
        overrides: Overrides::default(),
    };
    source.load().map(|_| ())
}

fn policy_name() -> impl TypedValueParser<Value = &'static str> {
    PossibleValuesParser::new(Policy::NAMES).map(|typed| {
        Policy::NAMES
            .iter()
            .copied()
            .find(|name| *name == typed)
            .expect("invariant: only names of policies pass the parser")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split_whitespace())
    }

    fn serve(flags: &str) -> Source {
        match read(&format!("warmgate serve {flags}")).unwrap().command {
            Command::Serve(args) => args.source(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_arrives() {
        let source = serve(
            "--config w.yaml --listen 127.0.0.1:1 --admin [::1]:2 --threads 3 --policy round_robin \
             --kubeconfig k.yaml \
             --upstream http://a:1,http://c:2 --upstream https://b",
        );
        assert_eq!(source.file, Some("w.yaml".into()));
        let flags = source.overrides;
        assert_eq!(flags.listen, Some(([127, 0, 0, 1], 1).into()));
        assert_eq!(flags.admin.unwrap().to_string(), "[::1]:2");
        assert_eq!(
            (flags.threads, flags.policy),
            (Some(3), Some("round_robin"))
        );
        assert_eq!(flags.kubeconfig, Some("k.yaml".into()));
        let upstreams: Vec<_> = flags.upstreams.iter().map(ToString::to_string).collect();
        assert_eq!(upstreams, ["http://a:1", "http://c:2", "https://b:443"]);
        let flags = serve("--service llm/vllm:8000").overrides;
        assert_eq!(flags.service, Some("llm/vllm:8000".parse().unwrap()));
    }

    #[test]
    fn no_flag_overrides_nothing() {
        let source = serve("");
        assert_eq!(source.file, None);
        let flags = source.overrides;
        assert!(flags.listen.is_none() && flags.admin.is_none() && flags.threads.is_none());
        assert!(flags.policy.is_none() && flags.upstreams.is_empty());
        assert!(flags.service.is_none() && flags.kubeconfig.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_64_and_names_the_flag() {
        let over = limit::THREADS_MAX + 1;
        for (line, said) in [
            ("warmgate serve --listen 8080", "--listen"),
            ("warmgate serve --upstream engine:1", "--upstream"),
            (
                "warmgate serve --service a/b --upstream http://c:1",
                "cannot be used with '--upstream",
            ),
            ("warmgate serve --service a/b --service a/c", "--service"),
            ("warmgate serve --service vllm", "write NAMESPACE/NAME"),
            ("warmgate serve --policy fastest", "prefix_affinity"),
            ("warmgate serve --threads 0", "--threads"),
            (&format!("warmgate serve --threads {over}"), "--threads"),
            ("warmgate serve --frobnicate", "--frobnicate"),
            ("warmgate check", "<FILE>"),
            ("warmgate sreve", "serve"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.to_string().contains(said), "{line}: {error}");
            assert_eq!(exit_status(&error), EXIT_USAGE, "{line}");
        }
        let most = serve(&format!("--threads {}", limit::THREADS_MAX));
        assert_eq!(most.overrides.threads, Some(limit::THREADS_MAX));
    }

    #[test]
    fn help_and_version_are_no_mistake() {
        for line in [
            "warmgate --help",
            "warmgate serve --help",
            "warmgate --version",
        ] {
            assert_eq!(exit_status(&read(line).unwrap_err()), 0, "{line}");
        }
        let help = read("warmgate --help").unwrap_err().to_string();
        assert!(
            !help.contains("reference"),
            "a tool of ours is shown: {help}"
        );
    }

    #[test]
    fn the_defaults_that_help_shows_are_those_of_the_configuration() {
        let help = read("warmgate serve --help").unwrap_err().to_string();
        let raw = crate::config::RawConfig::default();
        let policy = Policy::default().name();
        for default in [raw.listen.as_str(), &raw.admin, policy] {
            assert!(
                help.contains(&format!("[default: {default}]")),
                "{default}: {help}"
            );
        }
    }
}
