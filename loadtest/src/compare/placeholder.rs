//! What stands between braces in a gateway's command line and in its configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::ANY_ADDRESS;
use crate::free_address;

/// Where a gateway listens and what it stands in front of.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub listen: SocketAddr,
    /// In the order in which the engines were started.
    pub upstreams: Vec<SocketAddr>,
    /// A folder of its own, for whatever it writes; absolute.
    pub folder: PathBuf,
}

/// What is repeated where one upstream is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A word of a command line, which ends at white space.
    Word,
    /// A line of a file.
    Line,
}

/// A text with its placeholders filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    pub text: String,
    /// It says where to listen.
    pub names_listen: bool,
    /// It says where the engines are.
    pub names_upstreams: bool,
}

/// Why a text cannot be filled in. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum PlaceholderError {
    /// Not one of ours.
    #[error(
        "unknown placeholder {{{name}}}; known: listen, listen_host, listen_port, upstreams, \
         upstreams_space, upstream, upstream_address, upstream_host, upstream_port, \
         upstream_number, free_port, folder, config:FILE"
    )]
    Unknown {
        /// What stands between the braces.
        name: String,
    },
    /// A configuration file that asks for another one.
    #[error("{{config:FILE}} belongs in the command, not in a configuration file")]
    Nested,
    /// The template of a configuration file cannot be read, or the file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No port is free.
    #[error("no free port for {{free_port}}: {0}")]
    Port(std::io::Error),
}

/// Fills in `text`. A piece that names a single upstream is written once for each. `config` makes
/// a file from a template and returns its path.
pub(super) fn fill(
    text: &str,
    piece: Piece,
    places: &Places,
    config: &mut dyn FnMut(&str) -> Result<String, PlaceholderError>,
) -> Result<Filled, PlaceholderError> {
    let (end, is_end): (&str, fn(char) -> bool) = match piece {
        Piece::Word => (" ", char::is_whitespace),
        Piece::Line => ("\n", |char| char == '\n'),
    };
    let ended = format!("{}{end}", text.strip_suffix(end).unwrap_or(text));
    let mut filled = Filled::default();
    for part in ended.split_inclusive(is_end) {
        let mut number = 0;
        loop {
            let mut filler = Filler {
                places,
                number,
                is_repeated: false,
                filled: &mut filled,
            };
            filler.part(part, config)?;
            number += 1;
            if !filler.is_repeated || number >= places.upstreams.len() {
                break;
            }
        }
    }
    Ok(filled)
}

struct Filler<'a> {
    places: &'a Places,
    /// Which upstream this repetition is about, from 0.
    number: usize,
    is_repeated: bool,
    filled: &'a mut Filled,
}

impl Filler<'_> {
    fn part(
        &mut self,
        part: &str,
        config: &mut dyn FnMut(&str) -> Result<String, PlaceholderError>,
    ) -> Result<(), PlaceholderError> {
        let mut rest = part;
        while let Some(at) = rest.find('{') {
            let (before, from_brace) = rest.split_at(at);
            self.filled.text.push_str(before);
            match placeholder(from_brace) {
                // `${name}` is the shell's.
                Some(name) if !before.ends_with('$') => {
                    let value = match name.strip_prefix(CONFIG) {
                        Some(file) => config(file)?,
                        None => self.value(name)?,
                    };
                    self.filled.text.push_str(&value);
                    rest = &from_brace[name.len() + 2..];
                }
                _ => {
                    self.filled.text.push('{');
                    rest = &from_brace[1..];
                }
            }
        }
        self.filled.text.push_str(rest);
        Ok(())
    }

    fn value(&mut self, name: &str) -> Result<String, PlaceholderError> {
        self.filled.names_listen |= name.starts_with("listen");
        self.filled.names_upstreams |= name.starts_with("upstream");
        let Places {
            listen,
            upstreams,
            folder,
        } = self.places;
        let urls = |separator| -> String {
            let urls: Vec<String> = upstreams.iter().map(url).collect();
            urls.join(separator)
        };
        let value = match name {
            "listen" => listen.to_string(),
            "listen_host" => listen.ip().to_string(),
            "listen_port" => listen.port().to_string(),
            "upstreams" => urls(","),
            "upstreams_space" => urls(" "),
            "folder" => folder.display().to_string(),
            "free_port" => {
                let address = free_address(ANY_ADDRESS).map_err(PlaceholderError::Port)?;
                address.port().to_string()
            }
            _ => {
                let one = upstreams.get(self.number);
                let value = one.and_then(|address| self.of_upstream(name, address));
                self.is_repeated = true;
                value.ok_or_else(|| PlaceholderError::Unknown {
                    name: name.to_owned(),
                })?
            }
        };
        Ok(value)
    }

    fn of_upstream(&self, name: &str, address: &SocketAddr) -> Option<String> {
        Some(match name {
            "upstream" => url(address),
            "upstream_address" => address.to_string(),
            "upstream_host" => address.ip().to_string(),
            "upstream_port" => address.port().to_string(),
            "upstream_number" => (self.number + 1).to_string(),
            _ => return None,
        })
    }
}

const CONFIG: &str = "config:";

/// The name between the braces with which `text` begins, where it looks like one of ours:
/// configuration files are full of other braces.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text[1..].split_once('}')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    (is_name || name.starts_with(CONFIG)).then_some(name)
}

fn url(address: &SocketAddr) -> String {
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            listen: "127.0.0.1:80".parse().unwrap(),
            upstreams: vec!["10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()],
            folder: "/own".into(),
        }
    }

    fn filled(text: &str, piece: Piece) -> Result<Filled, PlaceholderError> {
        fill(text, piece, &places(), &mut |file| {
            Ok(format!("/made/{file}"))
        })
    }

    #[test]
    fn words_of_a_command_are_filled_and_repeated() {
        for (text, expected) in [
            ("a --on {listen}", "a --on 127.0.0.1:80 "),
            ("{listen_host} {listen_port}", "127.0.0.1 80 "),
            (
                "--to={upstreams} x",
                "--to=http://10.0.0.1:1,http://10.0.0.2:2 x ",
            ),
            ("{upstreams_space}", "http://10.0.0.1:1 http://10.0.0.2:2 "),
            (
                "--to={upstream} x",
                "--to=http://10.0.0.1:1 --to=http://10.0.0.2:2 x ",
            ),
            ("-p {folder}", "-p /own "),
            (
                "{upstream_number}={upstream_address}",
                "1=10.0.0.1:1 2=10.0.0.2:2 ",
            ),
            ("-c {config:a/b.conf}", "-c /made/a/b.conf "),
            (
                "${listen} {\"json\":{}} {A} {",
                "${listen} {\"json\":{}} {A} { ",
            ),
        ] {
            assert_eq!(filled(text, Piece::Word).unwrap().text, expected, "{text}");
        }
    }

    #[test]
    fn lines_of_a_file_are_repeated_whole() {
        let file =
            "upstream e {\n  server {upstream_host}:{upstream_port};\n}\nlisten {listen_port};";
        let filled = filled(file, Piece::Line).unwrap();
        assert_eq!(
            filled.text,
            "upstream e {\n  server 10.0.0.1:1;\n  server 10.0.0.2:2;\n}\nlisten 80;\n"
        );
        assert!(filled.names_listen && filled.names_upstreams);
    }

    #[test]
    fn a_misspelt_placeholder_is_named() {
        for text in ["{listn}", "{upstream_prt}", "{upstreem}"] {
            let error = filled(text, Piece::Word).unwrap_err().to_string();
            assert!(
                error.contains(text) && error.contains("free_port"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_not_named_is_known() {
        let filled = filled("x {free_port}", Piece::Word).unwrap();
        assert!(!filled.names_listen && !filled.names_upstreams);
        assert!(filled.text["x ".len()..].trim().parse::<u16>().is_ok());
    }
}
