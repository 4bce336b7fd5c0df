//! Lines of a server-sent event stream whose chunks are cut anywhere.

use memchr::memchr;

/// Longest line that is put together from several chunks; the rest of a longer one is skipped.
/// Lines with usage or errors are short; long ones carry logprobs, which nobody here reads.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Splits a stream into lines without copying those that lie within one chunk.
#[derive(Debug, Default)]
pub struct SseLines {
    partial: Vec<u8>,
}

impl SseLines {
    /// Hands every line that is complete now to `on_line`, without its line end. A line longer
    /// than [`LINE_BYTES_MAX`] is handed over cut to that length.
    pub fn feed(&mut self, mut chunk: &[u8], mut on_line: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.partial.is_empty() {
                on_line(without_return(&line[..line.len().min(LINE_BYTES_MAX)]));
            } else {
                self.append(line);
                on_line(without_return(&self.partial));
                self.partial.clear();
            }
            chunk = rest;
        }
        self.append(chunk);
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.partial.len();
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut splitter) = (Vec::new(), SseLines::default());
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(line.to_vec()));
        }
        lines
    }

    #[test]
    fn line_ends_may_be_cut_anywhere() {
        assert_eq!(lines(&[b"a\r", b"\nb", b"c\n\nd"]), [&b"a"[..], b"bc", b""]);
    }

    #[test]
    fn a_line_is_kept_up_to_the_limit() {
        for (length, kept) in [
            (LINE_BYTES_MAX, LINE_BYTES_MAX),
            (LINE_BYTES_MAX + 1, LINE_BYTES_MAX),
        ] {
            let line = vec![b'x'; length];
            assert_eq!(
                lines(&[&line, b"\n", b"next\n"]),
                [vec![b'x'; kept], b"next".to_vec()]
            );
            assert_eq!(lines(&[&[&line[..], b"\nnext\n"].concat()])[0].len(), kept);
        }
    }
}
