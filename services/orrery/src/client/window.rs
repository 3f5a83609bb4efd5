//! The chunks that were sent and are not acknowledged: kept so that they can be sent again.

use std::collections::VecDeque;

use bytes::Bytes;

/// Rows that are sent together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chunk {
    /// The offset of the first row.
    pub(crate) offset: i64,
    /// The rows, encoded. A clone shares them.
    pub(crate) rows: Vec<Bytes>,
    /// The line of the file that each row comes from.
    pub(crate) lines: Vec<u64>,
    /// The rows' bytes.
    pub(crate) bytes: usize,
}

impl Chunk {
    /// The offset after the last row.
    pub(crate) fn end(&self) -> i64 {
        self.offset + self.rows.len() as i64
    }

    /// Drops the rows before an offset.
    fn trim_to(&mut self, offset: i64) {
        let drop = usize::try_from(offset - self.offset).unwrap_or(0).min(self.rows.len());
        self.offset += drop as i64;
        self.lines.drain(..drop);
        self.bytes -= self.rows.drain(..drop).map(|row| row.len()).sum::<usize>();
    }
}

/// Unacknowledged chunks, oldest first, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Window {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Every row before this offset is acknowledged.
    start: i64,
    /// The offset after the last row that was put in.
    end: i64,
}

/// The most chunks in flight.
pub(crate) const MOST_CHUNKS: usize = 16;
/// The most bytes in flight, give or take a chunk.
const MOST_BYTES: usize = 8 * 1024 * 1024;

impl Window {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether to wait for acknowledgements before more is sent.
    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() >= MOST_CHUNKS || self.bytes >= MOST_BYTES
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    /// Takes the next chunk in; gives what is to be sent of it: nothing if its rows were committed before.
    pub(crate) fn push(&mut self, mut chunk: Chunk) -> Option<&Chunk> {
        self.end = chunk.end();
        chunk.trim_to(self.start);
        if chunk.rows.is_empty() {
            return None;
        }
        self.bytes += chunk.bytes;
        self.chunks.push_back(chunk);
        self.chunks.back()
    }

    /// Every row before `offset` is committed. Gives the chunks, or parts of them, that this lets go.
    pub(crate) fn commit_to(&mut self, offset: i64) -> Vec<Chunk> {
        self.start = self.start.max(offset);
        let mut done = Vec::new();
        while let Some(chunk) = self.chunks.front_mut() {
            if chunk.end() <= offset {
                done.extend(self.chunks.pop_front());
            } else {
                if chunk.offset < offset {
                    let mut part = chunk.clone();
                    let keep = usize::try_from(offset - chunk.offset).unwrap_or(0);
                    part.rows.truncate(keep);
                    part.lines.truncate(keep);
                    part.bytes = part.rows.iter().map(Bytes::len).sum();
                    chunk.trim_to(offset);
                    done.push(part);
                }
                break;
            }
        }
        self.bytes -= done.iter().map(|chunk| chunk.bytes).sum::<usize>();
        done
    }

    /// The line of a row in flight.
    pub(crate) fn line(&self, offset: i64) -> Option<u64> {
        let chunk = self.chunks.iter().find(|chunk| (chunk.offset..chunk.end()).contains(&offset))?;
        chunk.lines.get(usize::try_from(offset - chunk.offset).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: i64, rows: u64) -> Chunk {
        let lines: Vec<u64> = (0..rows).map(|row| offset as u64 + row + 2).collect();
        Chunk {
            offset,
            rows: lines.iter().map(|_| Bytes::from_static(b"row")).collect(),
            lines,
            bytes: rows as usize * 3,
        }
    }

    #[test]
    fn acknowledged_rows_leave_and_the_others_keep_their_lines() {
        let mut window = Window::default();
        for offset in [0, 10, 20] {
            window.push(chunk(offset, 10));
        }
        assert_eq!(window.line(25), Some(27));
        assert_eq!(window.commit_to(10), [chunk(0, 10)]);
        assert_eq!(window.commit_to(10), []);
        let done = window.commit_to(24);
        assert_eq!(done, [chunk(10, 10), chunk(20, 4)]);
        assert_eq!(window.chunks().cloned().collect::<Vec<_>>(), [chunk(24, 6)]);
        assert_eq!((window.line(23), window.line(25), window.bytes), (None, Some(27), 18));
        window.commit_to(30);
        assert!(window.is_empty() && window.bytes == 0);
    }

    #[test]
    fn rows_that_were_committed_before_are_not_sent() {
        let mut window = Window::default();
        window.commit_to(15);
        assert_eq!(window.push(chunk(0, 10)), None);
        assert_eq!(window.push(chunk(10, 10)), Some(&chunk(15, 5)));
        assert_eq!((window.start(), window.end()), (15, 20));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::default();
        let mut offset = 0;
        while !window.is_full() {
            window.push(chunk(offset, 1));
            offset += 1;
        }
        assert_eq!(offset, MOST_CHUNKS as i64);
        let mut window = Window::default();
        window.push(Chunk { bytes: MOST_BYTES, ..chunk(0, 1) });
        assert!(window.is_full());
    }
}
