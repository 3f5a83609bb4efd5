//! The chunks that were sent and not acknowledged yet. They are kept so that they can be sent again.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

use bytes::Bytes;

/// Rows that are sent in one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SentChunk {
    /// The offset of the first row.
    pub(crate) offset: i64,
    /// The encoded rows. A clone shares their memory.
    pub(crate) rows: Vec<Bytes>,
    /// The line of the file that each row comes from.
    pub(crate) lines: Vec<u64>,
    /// The size of the rows in bytes.
    pub(crate) bytes: usize,
}

impl SentChunk {
    /// The offset after the last row.
    pub(crate) fn end(&self) -> i64 {
        self.offset + self.rows.len() as i64
    }

    /// Splits the chunk at an offset and returns the second part.
    fn split_off(&mut self, offset: i64) -> Self {
        let keep = usize::try_from(offset - self.offset).unwrap_or(0).min(self.rows.len());
        let rows = self.rows.split_off(keep);
        let bytes = rows.iter().map(Bytes::len).sum();
        self.bytes -= bytes;
        Self { offset: self.offset + keep as i64, rows, lines: self.lines.split_off(keep), bytes }
    }
}

/// Unacknowledged chunks, oldest first, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Window {
    chunks: VecDeque<SentChunk>,
    bytes: usize,
    /// The offset after the last row that was added.
    end: i64,
}

/// The limit of chunks in flight. There may be one more where a chunk had to be split.
pub(crate) const MAX_CHUNKS: usize = 16;
/// The limit of bytes in flight; the last chunk may exceed it.
const MAX_BYTES: usize = 8 * 1024 * 1024;

impl Window {
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether to wait for acknowledgements before sending more.
    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() >= MAX_CHUNKS || self.bytes >= MAX_BYTES
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &SentChunk> {
        self.chunks.iter()
    }

    /// Adds a chunk, split at `cut` if that lies within it, and returns the parts to send.
    pub(crate) fn push(&mut self, chunk: SentChunk, cut: i64) -> Iter<'_, SentChunk> {
        let before = self.chunks.len();
        self.end = chunk.end();
        self.bytes += chunk.bytes;
        self.chunks.push_back(chunk);
        self.cut_at(cut);
        self.chunks.range(before..)
    }

    /// Splits the chunk that contains an offset, so that a chunk starts there.
    pub(crate) fn cut_at(&mut self, offset: i64) {
        let within = |chunk: &SentChunk| chunk.offset < offset && offset < chunk.end();
        if let Some(place) = self.chunks.iter().position(within) {
            let rest = self.chunks[place].split_off(offset);
            self.chunks.insert(place + 1, rest);
        }
    }

    /// Removes and returns the first chunk if it ends at or before an offset.
    pub(crate) fn pop_before(&mut self, offset: i64) -> Option<SentChunk> {
        let chunk = self.chunks.pop_front_if(|chunk| chunk.end() <= offset)?;
        self.bytes -= chunk.bytes;
        Some(chunk)
    }

    /// The rows between two offsets, in chunks.
    pub(crate) fn between(&self, begin: i64, end: i64) -> Vec<SentChunk> {
        let mut found = Vec::new();
        for chunk in &self.chunks {
            let mut chunk = chunk.clone();
            if chunk.offset < begin {
                chunk = chunk.split_off(begin);
            }
            if chunk.end() > end {
                chunk.split_off(end);
            }
            if !chunk.rows.is_empty() {
                found.push(chunk);
            }
        }
        found
    }

    /// The line of the file that an unacknowledged row comes from.
    pub(crate) fn line(&self, offset: i64) -> Option<u64> {
        let chunk = self.chunks.iter().find(|chunk| (chunk.offset..chunk.end()).contains(&offset))?;
        chunk.lines.get(usize::try_from(offset - chunk.offset).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: i64, rows: u64) -> SentChunk {
        let lines: Vec<u64> = (0..rows).map(|row| offset as u64 + row + 2).collect();
        SentChunk {
            offset,
            rows: lines.iter().map(|_| Bytes::from_static(b"row")).collect(),
            lines,
            bytes: rows as usize * 3,
        }
    }

    #[test]
    fn answered_rows_leave_and_the_others_keep_their_lines() {
        let mut window = Window::default();
        for offset in [0, 10, 20] {
            window.push(chunk(offset, 10), 0);
        }
        assert_eq!(window.line(25), Some(27));
        assert_eq!(window.between(5, 24), [chunk(5, 5), chunk(10, 10), chunk(20, 4)]);
        assert_eq!(window.between(30, 40), []);
        assert_eq!(window.pop_before(10), Some(chunk(0, 10)));
        assert_eq!(window.pop_before(19), None, "a chunk leaves whole");
        assert_eq!(window.pop_before(20), Some(chunk(10, 10)));
        window.cut_at(24);
        window.cut_at(24);
        assert_eq!(window.pop_before(24), Some(chunk(20, 4)));
        assert_eq!(window.chunks().cloned().collect::<Vec<_>>(), [chunk(24, 6)]);
        assert_eq!((window.line(23), window.line(25), window.bytes), (None, Some(27), 18));
        window.pop_before(30);
        assert!(window.is_empty() && window.bytes == 0 && window.end() == 30);
    }

    #[test]
    fn a_chunk_is_cut_where_a_write_goes_on() {
        let mut window = Window::default();
        assert_eq!(window.push(chunk(0, 10), 15).cloned().collect::<Vec<_>>(), [chunk(0, 10)]);
        assert_eq!(window.push(chunk(10, 10), 15).cloned().collect::<Vec<_>>(), [chunk(10, 5), chunk(15, 5)]);
        assert_eq!((window.len(), window.bytes, window.end()), (3, 60, 20));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::default();
        let mut offset = 0;
        while !window.is_full() {
            window.push(chunk(offset, 1), 0);
            offset += 1;
        }
        assert_eq!(offset, MAX_CHUNKS as i64);
        let mut window = Window::default();
        window.push(SentChunk { bytes: MAX_BYTES, ..chunk(0, 1) }, 0);
        assert!(window.is_full());
    }
}
