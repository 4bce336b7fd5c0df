//! A trace file, plain or gzip, from bytes to requests in order, within limits.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

use super::{TraceRequest, block_guess, line, ticks};

/// Longest line read, in bytes.
pub const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Used when the trace names no blocks at all, where it makes no difference.
const BLOCK_TOKENS_WITHOUT_IDS: u64 = 512;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What to take of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceOptions {
    /// Tokens in one block of ids; guessed from the lengths when absent.
    pub block_tokens: Option<u64>,
    /// Requests kept at most, from the start.
    pub max_requests: Option<usize>,
    /// Requests with longer prompts are left out.
    pub max_input_tokens: Option<u64>,
    /// Answers are cut to this many tokens.
    pub max_output_tokens: Option<u64>,
}

/// A trace, ready to be replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// In order of arrival; the first arrives at 0.
    pub requests: Vec<TraceRequest>,
    /// Tokens in one block of ids.
    pub block_tokens: u64,
    /// Requests left out because of `max_input_tokens`.
    pub too_long: usize,
}

/// Why a trace was not read. The caller's fault; a retry cannot help.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read or is no gzip though it begins like one.
    #[error("cannot read the trace: {0}")]
    Io(#[from] std::io::Error),
    /// A line is no request.
    #[error("line {line} of the trace: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is left to replay.
    #[error("the trace has no request within the limits")]
    Empty,
    /// The lengths fit no known block size.
    #[error("cannot tell how many tokens a block has; pass --block-tokens")]
    UnknownBlock,
}

/// Reads the trace at `path`.
///
/// # Errors
/// When it cannot be read, a line is no request, or nothing is left.
pub fn read_trace(path: &Path, options: &TraceOptions) -> Result<Trace, TraceError> {
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        read_lines(BufReader::new(MultiGzDecoder::new(file)), options)
    } else {
        read_lines(file, options)
    }
}

fn read_lines(mut source: impl BufRead, options: &TraceOptions) -> Result<Trace, TraceError> {
    let mut requests = Vec::new();
    let mut too_long = 0;
    let mut text = String::new();
    for number in 1.. {
        if options
            .max_requests
            .is_some_and(|limit| requests.len() >= limit)
        {
            break;
        }
        text.clear();
        if source
            .by_ref()
            .take(LINE_BYTES_MAX + 1)
            .read_line(&mut text)?
            == 0
        {
            break;
        }
        let at_line = |reason| TraceError::Line {
            line: number,
            reason,
        };
        if text.len() as u64 > LINE_BYTES_MAX {
            return Err(at_line(format!("longer than {LINE_BYTES_MAX} bytes")));
        }
        if text.trim().is_empty() {
            continue;
        }
        let mut request = line::parse(&text).map_err(at_line)?;
        if options
            .max_input_tokens
            .is_some_and(|limit| request.input_tokens > limit)
        {
            too_long += 1;
            continue;
        }
        if let Some(limit) = options.max_output_tokens {
            request.output_tokens = request.output_tokens.min(limit.max(1));
        }
        requests.push(request);
    }
    let block_tokens = block_tokens(&requests, options)?;
    arrange(&mut requests);
    Ok(Trace {
        requests,
        block_tokens,
        too_long,
    })
}

fn block_tokens(requests: &[TraceRequest], options: &TraceOptions) -> Result<u64, TraceError> {
    use super::TracePrompt::Blocks;
    if requests.is_empty() {
        return Err(TraceError::Empty);
    }
    if let Some(tokens) = options.block_tokens {
        return Ok(tokens.max(1));
    }
    let has_ids =
        |request: &TraceRequest| matches!(&request.prompt, Blocks(ids) if !ids.is_empty());
    if !requests.iter().any(has_ids) {
        return Ok(BLOCK_TOKENS_WITHOUT_IDS);
    }
    block_guess::guess(requests).ok_or(TraceError::UnknownBlock)
}

/// Puts requests in order, spreads ticks, and lets the first arrive at 0.
fn arrange(requests: &mut [TraceRequest]) {
    requests.sort_by_key(|request| request.at);
    ticks::spread(requests);
    let start = requests.first().map_or(Duration::ZERO, |first| first.at);
    requests.iter_mut().for_each(|request| request.at -= start);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LINES: &str = r#"{"timestamp":9000,"input_length":40,"output_length":9,"hash_ids":[1,2,3]}
{"timestamp":6000,"input_length":48,"output_length":2,"hash_ids":[1,2,4]}

{"timestamp":6000,"input_length":100,"output_length":2,"hash_ids":[1,2,4,5,6,7,8]}
"#;

    fn read(bytes: &[u8], options: &TraceOptions) -> Result<Trace, TraceError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read_trace(file.path(), options)
    }

    #[test]
    fn plain_and_gzip_files_are_read_alike_and_sorted() {
        let plain = read(LINES.as_bytes(), &TraceOptions::default()).unwrap();
        assert_eq!(plain.block_tokens, 16);
        let arrivals: Vec<u128> = plain
            .requests
            .iter()
            .map(|one| one.at.as_millis())
            .collect();
        assert_eq!(arrivals, [0, 1500, 3000]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(LINES.as_bytes()).unwrap();
        let packed = read(&encoder.finish().unwrap(), &TraceOptions::default()).unwrap();
        assert_eq!(packed, plain);
    }

    #[test]
    fn limits_leave_out_and_cut() {
        let options = TraceOptions {
            max_input_tokens: Some(48),
            max_output_tokens: Some(3),
            ..TraceOptions::default()
        };
        let trace = read(LINES.as_bytes(), &options).unwrap();
        assert_eq!((trace.requests.len(), trace.too_long), (2, 1));
        assert_eq!(trace.requests[1].output_tokens, 3);
        let options = TraceOptions {
            max_requests: Some(1),
            ..TraceOptions::default()
        };
        assert_eq!(read(LINES.as_bytes(), &options).unwrap().requests.len(), 1);
    }

    #[test]
    fn errors_name_the_line() {
        let broken = format!("{LINES}oops\n");
        let error = read(broken.as_bytes(), &TraceOptions::default()).unwrap_err();
        assert!(matches!(error, TraceError::Line { line: 5, .. }), "{error}");
        let empty = read(b"\n", &TraceOptions::default()).unwrap_err();
        assert!(matches!(empty, TraceError::Empty));
        let odd = br#"{"timestamp":0,"input_length":20,"output_length":1,"hash_ids":[1,2,3]}"#;
        let unknown = read(odd, &TraceOptions::default()).unwrap_err();
        assert!(matches!(unknown, TraceError::UnknownBlock));
        let told = TraceOptions {
            block_tokens: Some(8),
            ..TraceOptions::default()
        };
        assert_eq!(read(odd, &told).unwrap().block_tokens, 8);
        assert!(matches!(
            read(&[0x1f, 0x8b, 0], &told).unwrap_err(),
            TraceError::Io(_)
        ));
    }
}
