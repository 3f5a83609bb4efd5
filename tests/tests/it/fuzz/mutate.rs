//! Creates inputs from others.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The largest input.
const MOST_BYTES: usize = 64 * 1024;

/// Parts of inputs that are unlikely to occur by chance.
const WORDS: &[&[u8]] = &[
    b"",
    b"\"",
    b"\"\"",
    b"'",
    b"\\",
    b"\0",
    b"\r\n",
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"|",
    b"sep=;\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b"{\"",
    b"\":",
    b"null",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"1e400",
    b"-0",
    b"9007199254740993",
    b"0.1",
    b"\xff",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"prd_",
    b"ord_",
    b"oli_",
    b"prd_a",
    b"uid",
    b"labels",
    b"labels.",
    b"labels.`a.b`",
    b"status.details",
    b"status.phase",
    b"line_items",
    b"*",
    b"`",
    b" in (",
    b" notin (",
    b"!=",
    b"==",
    b"=",
    b"!",
    b"env",
    b"a/b",
    b"-- migrate:up\n",
    b"-- migrate:down\n",
    b" transaction:false",
    b"create function f() returns int begin atomic ",
    b"$$",
    b"$a$",
    b"/*",
    b"*/",
    b"--",
    b"begin",
    b"end",
    b"case",
    b"[group]\nby = \"uid\"\n",
    b"[fields]\n",
    b"[[line_items]]\n",
    b"column = \"id\"",
    b"transforms = [\"trim\"]",
    b"pick = \"latest\"",
    b"{ map = { \"*\" = \"x\" } }",
    b"{ truncate = 1 }",
    b"{ replace = { \"\" = \"x\" } }",
    b"split = \",\"",
    b"value = \"x\"",
    b"%Y-%m-%d %H:%M:%S",
    b"%s",
    b"%Z",
    b"%z",
    b"%p",
    b"%j",
    b"%U",
    b"%",
    b"2026-11-01 01:30:00",
    b"2026-03-29T01:30:00Z",
    b"9999-12-31T23:59:59.999999999Z",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"18446744073709551615",
    b"\x80\x80\x80\x80\x80\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0a\x05prd_a",
    b"\x0a\x05ord_a",
    b"\x12\x00",
    b"\x2a\x02\x12\x00",
];

/// Creates random inputs from others; the same seed gives the same inputs.
pub(super) struct Mutator {
    chance: StdRng,
}

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: StdRng::seed_from_u64(seed) }
    }

    /// An input made from one or two of these.
    pub(super) fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..1 << self.below(4) {
            self.change(&mut input, inputs);
        }
        input.truncate(MOST_BYTES);
        input
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.chance.random_range(0..end) }
    }

    /// A part of a text with this many bytes.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let begin = self.below(length + 1);
        let longest = (length - begin).min(1 << self.below(10));
        begin..begin + self.below(longest + 1)
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.chance.random(),
            2 if at < input.len() => input[at] = input[at].wrapping_add([1, 255, 16, 240][self.below(4)]),
            3 => drop(input.drain(self.part(input.len()))),
            4 => input.insert(at, self.chance.random()),
            // Repeated, often many times: nesting, repeated fields, long runs.
            5 => {
                let part = input[self.part(input.len())].to_vec();
                let times = 1 << self.below(if part.len() < 64 { 8 } else { 3 });
                input.splice(at..at, part.repeat(times));
            }
            6 => {
                let other = &inputs[self.below(inputs.len())];
                let part = self.part(other.len());
                input.splice(at..at, other[part].iter().copied());
            }
            7 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                let to = if self.below(2) == 0 { at } else { (at + word.len()).min(input.len()) };
                input.splice(at..to, word.iter().copied());
            }
        }
        input.truncate(2 * MOST_BYTES);
    }
}
