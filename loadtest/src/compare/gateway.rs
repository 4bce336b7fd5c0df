//! A gateway as it is named on the command line, and as it is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use super::placeholder::{Filled, Piece, PlaceholderError, Places, fill};

/// Most characters of a gateway's name: it heads a column and names a folder.
const NAME_CHARS_MAX: usize = 40;

/// A gateway to measure, written as `[NAME=]COMMAND`. The shell runs the command; it must stay in
/// the foreground.
///
/// | placeholder | stands for |
/// |---|---|
/// | `{listen}`, `{listen_host}`, `{listen_port}` | where it must listen |
/// | `{upstreams}`, `{upstreams_space}` | URLs of the engines, with commas or spaces between |
/// | `{upstream}` | the URL of one engine: the word is repeated for each |
/// | `{upstream_address}`, `{upstream_host}`, `{upstream_port}`, `{upstream_number}` | likewise |
/// | `{free_port}` | a port that nobody listens on, another each time |
/// | `{folder}` | a folder of its own, for whatever it writes |
/// | `{config:FILE}` | a file made from `FILE`, in which all others may stand; there the line is repeated |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    name: String,
    command: String,
}

/// Why a gateway cannot be started as it is written. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// There is no command.
    #[error("{0:?} names no command; write [NAME=]COMMAND")]
    NoCommand(String),
    /// The name is no folder's and no column's.
    #[error(
        "gateway name {0:?} must be at most {NAME_CHARS_MAX} of letters, digits and . _ + -, and \
         begin with a letter or digit"
    )]
    Name(String),
    /// It would not know where to listen.
    #[error(
        "gateway {0} is not told where to listen; write {{listen}} into its command, or \
         {{listen_host}} and {{listen_port}}"
    )]
    NoListen(String),
    /// It would not know the engines.
    #[error(
        "gateway {0} is not told where the engines are; write {{upstreams}} or {{upstream}} into \
         its command"
    )]
    NoUpstreams(String),
    /// A placeholder cannot be filled in.
    #[error("gateway {name}: {source}")]
    Placeholder {
        /// Which gateway.
        name: String,
        /// Why.
        source: PlaceholderError,
    },
}

impl Gateway {
    /// Its name in tables, and of its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it another name, for a second gateway of the same.
    #[must_use]
    pub fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The command that starts it; makes its configuration files in its folder.
    pub(super) fn command(&self, places: &Places) -> Result<Command, GatewayError> {
        let mut made = 0;
        let filled = self.fill(places, |template, text| {
            made += 1;
            let mut path = places.folder.join(format!("config-{made}"));
            // Some programs tell by it how a file is to be read.
            path.set_extension(template.extension().unwrap_or_default());
            std::fs::write(&path, text).map_err(|error| at(&path, error))?;
            Ok(path.display().to_string())
        })?;
        let mut command = Command::new("sh");
        command.args(["-c", &filled.text]);
        Ok(command)
    }

    /// Fills in the command and its configuration files, which `write` gets.
    fn fill(
        &self,
        places: &Places,
        mut write: impl FnMut(&Path, &str) -> Result<String, PlaceholderError>,
    ) -> Result<Filled, GatewayError> {
        let (mut names_listen, mut names_upstreams) = (false, false);
        let mut config = |file: &str| {
            let path = Path::new(file);
            let template = std::fs::read_to_string(path).map_err(|error| at(path, error))?;
            let nested = &mut |_: &str| Err(PlaceholderError::Nested);
            let filled = fill(&template, Piece::Line, places, nested)?;
            names_listen |= filled.names_listen;
            names_upstreams |= filled.names_upstreams;
            write(path, &filled.text)
        };
        let filled = fill(&self.command, Piece::Word, places, &mut config);
        let mut filled = filled.map_err(|source| GatewayError::Placeholder {
            name: self.name.clone(),
            source,
        })?;
        filled.names_listen |= names_listen;
        filled.names_upstreams |= names_upstreams;
        Ok(filled)
    }

    /// Fills it in for nobody, so that what is wrong is known before anything is started.
    fn check(&self) -> Result<(), GatewayError> {
        let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let places = Places {
            listen: anywhere,
            upstreams: vec![anywhere],
            folder: PathBuf::new(),
        };
        let filled = self.fill(&places, |_, _| Ok(String::new()))?;
        if !filled.names_listen {
            return Err(GatewayError::NoListen(self.name.clone()));
        }
        if !filled.names_upstreams {
            return Err(GatewayError::NoUpstreams(self.name.clone()));
        }
        Ok(())
    }
}

impl FromStr for Gateway {
    type Err = GatewayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text
            .split_once('=')
            .filter(|(name, _)| !name.contains(char::is_whitespace));
        let command = named.map_or(text, |(_, command)| command).trim();
        let Some(program) = command.split_whitespace().next() else {
            return Err(GatewayError::NoCommand(text.to_owned()));
        };
        let name = match named {
            Some((name, _)) => name,
            None => program.rsplit('/').next().unwrap_or(program),
        };
        if !is_name(name) {
            return Err(GatewayError::Name(name.to_owned()));
        }
        let gateway = Self {
            name: name.to_owned(),
            command: command.to_owned(),
        };
        gateway.check()?;
        Ok(gateway)
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|char: char| char.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

fn at(path: &Path, source: std::io::Error) -> PlaceholderError {
    PlaceholderError::File {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Gateway, String> {
        text.parse()
            .map_err(|error: GatewayError| error.to_string())
    }

    #[test]
    fn a_name_is_given_or_is_the_program() {
        for (text, name, command) in [
            ("a={listen} {upstreams}", "a", "{listen} {upstreams}"),
            (
                "/bin/x {listen} {upstream}",
                "x",
                "/bin/x {listen} {upstream}",
            ),
            (
                "x --on={listen} --to={upstream}",
                "x",
                "x --on={listen} --to={upstream}",
            ),
            (
                "y=V=1 x {listen} {upstream}",
                "y",
                "V=1 x {listen} {upstream}",
            ),
        ] {
            let gateway = read(text).unwrap();
            assert_eq!(
                (gateway.name(), &*gateway.command),
                (name, command),
                "{text}"
            );
        }
    }

    #[test]
    fn mistakes_are_known_before_anything_starts() {
        let longest = "x".repeat(NAME_CHARS_MAX);
        assert!(read(&format!("{longest}=r {{listen}} {{upstreams}}")).is_ok());
        for (text, word) in [
            ("", "COMMAND"),
            ("a=", "COMMAND"),
            ("../a=r {listen} {upstreams}", "gateway name"),
            (
                &format!("x{longest}=r {{listen}} {{upstreams}}"),
                "gateway name",
            ),
            ("r {upstreams}", "{listen}"),
            ("r {listen}", "{upstreams}"),
            ("r {listen} {upstrems}", "unknown placeholder {upstrems}"),
            ("r -c {config:/nowhere}", "/nowhere: No such file"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_configuration_file_is_made_for_each_start() {
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("template.yaml");
        std::fs::write(&template, "bind {listen}\nto {upstream_address}\n").unwrap();
        let gateway = read(&format!("r -c {{config:{}}}", template.display())).unwrap();
        let places = Places {
            listen: "127.0.0.1:7".parse().unwrap(),
            upstreams: vec![
                "127.0.0.1:8".parse().unwrap(),
                "127.0.0.1:9".parse().unwrap(),
            ],
            folder: folder.path().to_owned(),
        };
        let command = gateway.command(&places).unwrap();
        let made = folder.path().join("config-1.yaml");
        assert_eq!(
            std::fs::read_to_string(&made).unwrap(),
            "bind 127.0.0.1:7\nto 127.0.0.1:8\nto 127.0.0.1:9\n"
        );
        let line = command.get_args().last().unwrap().to_string_lossy();
        assert_eq!(line.trim(), format!("r -c {}", made.display()));
    }

    #[test]
    fn a_configuration_file_asks_for_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("template");
        std::fs::write(&template, "{listen} {upstreams} {config:x}").unwrap();
        let error = read(&format!("r -c {{config:{}}}", template.display())).unwrap_err();
        assert!(error.contains("belongs in the command"), "{error}");
    }
}
