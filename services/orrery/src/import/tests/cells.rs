//! CSV taken apart, against the simplest model of it and against a parser at hand.

use proptest::prelude::*;

use super::super::cells::{Cells, Shape};
use super::*;

/// The records of a text that arrives in pieces of so many bytes, with their shapes; or why it cannot be read.
fn split(
    text: &[u8],
    delimiter: u8,
    quoting: bool,
    pieces: usize,
    width: usize,
) -> Result<Vec<(Shape, Vec<String>)>, String> {
    let reader = std::io::BufReader::with_capacity(pieces, Cursor::new(text.to_vec()));
    let mut input = Input::new("x.csv".into(), Box::new(Cursor::new(Vec::new())), None).unwrap();
    input.reader = Box::new(reader);
    let mut cells = Cells::new(input, delimiter, quoting, 1);
    cells.set_width(width);
    let mut records = Vec::new();
    while let Some(shape) = cells.next().map_err(|error| error.to_string())? {
        let kept = shape.cells.min(width);
        records.push((shape, (0..kept).map(|place| String::from_utf8_lossy(cells.cell(place)).into_owned()).collect()));
    }
    Ok(records)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A cell and whether it is quoted although it need not be.
fn cell() -> impl Strategy<Value = (String, bool)> {
    ("[a-z\",;\\t \r\n\u{e9}]{0,6}", any::<bool>())
}

/// Every record of a CSV text, character by character as RFC 4180 has it, and the line on which each begins; none if a
/// quote is not closed or a cell continues after its closing quote.
fn model(text: &str, delimiter: char, quoting: bool) -> Option<Vec<(u64, Vec<String>)>> {
    let text: Vec<char> = text.chars().collect();
    let is = |at: usize, character: char| text.get(at) == Some(&character);
    let (mut records, mut at, mut line) = (Vec::new(), 0, 1);
    // Whether a CR alone ends a line: as the first end of a line has it.
    let mut alone = None;
    let breaks = |at: usize, alone| match text[at] {
        '\n' => alone == Some(false) || at == 0 || !is(at - 1, '\r'),
        '\r' => alone != Some(false),
        _ => false,
    };
    loop {
        while is(at, '\r') || is(at, '\n') {
            line += u64::from(breaks(at, alone));
            at += 1;
        }
        if at == text.len() {
            return Some(records);
        }
        let ends = |at: usize| {
            let end = !is(at, '\r') || at + 1 == text.len() || is(at + 1, '\n') || alone != Some(false);
            end && (at == text.len() || is(at, '\r') || is(at, '\n') || is(at, delimiter))
        };
        let (begin, mut record) = (line, Vec::new());
        loop {
            let mut cell = String::new();
            if quoting && is(at, '"') {
                at += 1;
                while !is(at, '"') || is(at + 1, '"') {
                    let character = *text.get(at)?;
                    line += u64::from(breaks(at, alone));
                    cell.push(character);
                    at += if character == '"' { 2 } else { 1 };
                }
                at += 1;
                while is(at, ' ') {
                    cell.push(' ');
                    at += 1;
                }
                if !ends(at) {
                    return None;
                }
            } else {
                while !ends(at) {
                    cell.push(text[at]);
                    at += 1;
                }
            }
            record.push(cell);
            if !is(at, delimiter) {
                break;
            }
            at += 1;
        }
        records.push((begin, record));
        let with_feed = is(at, '\r') && is(at + 1, '\n');
        alone = alone.or((at < text.len()).then(|| is(at, '\r') && !with_feed));
        line += 1;
        at = text.len().min(at + if with_feed { 2 } else { 1 });
    }
}

/// What `csv-core` makes of a text.
fn by_csv_core(text: &[u8], delimiter: u8, quoting: bool) -> Vec<Vec<String>> {
    let mut parser = csv_core::ReaderBuilder::new().delimiter(delimiter).quoting(quoting).build();
    let (mut rest, mut records) = (text, Vec::new());
    let (mut output, mut ends) = (vec![0; 64 * 1024], vec![0; 1024]);
    let (mut written, mut ended) = (0, 0);
    loop {
        let (result, read, wrote, fields) = parser.read_record(rest, &mut output[written..], &mut ends[ended..]);
        rest = &rest[read..];
        written += wrote;
        ended += fields;
        match result {
            csv_core::ReadRecordResult::Record => {
                let mut begin = 0;
                let fields = ends[..ended].iter().map(|end| {
                    let field = String::from_utf8_lossy(&output[begin..*end]).into_owned();
                    begin = *end;
                    field
                });
                records.push(fields.collect());
                (written, ended) = (0, 0);
            }
            csv_core::ReadRecordResult::End => return records,
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// What is written is read, whatever is quoted, however it arrives and however lines end.
    #[test]
    fn what_is_written_is_read(
        table in prop::collection::vec(prop::collection::vec(cell(), 1..5), 0..8),
        delimiter in prop::sample::select(vec![',', ';', '\t', '|']),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ended in any::<bool>(),
        pieces in 1..20_usize,
    ) {
        let mut text = String::new();
        let mut expected = Vec::new();
        for record in &table {
            let written: Vec<String> = record.iter().map(|(cell, quote)| {
                // An empty record is no record, so that its only cell is quoted.
                let must = cell.contains(['"', '\r', '\n', delimiter]) || (record.len() == 1 && cell.is_empty());
                if *quote || must { quoted(cell) } else { cell.clone() }
            }).collect();
            text += &written.join(&delimiter.to_string());
            text += end;
            expected.push(record.iter().map(|(cell, _)| cell.clone()).collect::<Vec<_>>());
        }
        if !ended {
            text.truncate(text.len().saturating_sub(end.len()));
        }
        let records = split(text.as_bytes(), delimiter as u8, true, pieces, usize::MAX).unwrap();
        prop_assert!(records.iter().all(|(shape, _)| shape.misquoted_line.is_none()));
        prop_assert_eq!(records.into_iter().map(|(_, cells)| cells).collect::<Vec<_>>(), expected);
    }

    /// Any text is read as the model reads it; where the model does not, that is told.
    #[test]
    fn any_text_is_read_as_the_model_has_it(text in "[ab\", \r\n]{0,40}", pieces in 1..8_usize) {
        let records = split(text.as_bytes(), b',', true, pieces, usize::MAX);
        let Some(expected) = model(&text, ',', true) else {
            if let Ok(records) = records {
                prop_assert!(records.iter().any(|(shape, _)| shape.misquoted_line.is_some()), "{records:?}");
            }
            return Ok(());
        };
        let records = records.unwrap();
        prop_assert!(records.iter().all(|(shape, _)| shape.misquoted_line.is_none() && shape.misquoted.is_empty()));
        let records: Vec<_> = records.into_iter().map(|(shape, cells)| (shape.line, cells)).collect();
        prop_assert_eq!(&records, &expected);
        let cells: Vec<Vec<String>> = expected.into_iter().map(|(_, cells)| cells).collect();
        // There a CR always ends a record.
        if !text.replace("\r\n", "").contains('\r') {
            prop_assert_eq!(by_csv_core(text.as_bytes(), b',', true), cells);
        }
    }

    #[test]
    fn without_quoting_a_quote_is_a_character(text in "[ab\"\t \r\n]{0,40}", pieces in 1..8_usize) {
        let records = split(text.as_bytes(), b'\t', false, pieces, usize::MAX).unwrap();
        let records: Vec<_> = records.into_iter().map(|(shape, cells)| (shape.line, cells)).collect();
        prop_assert_eq!(records, model(&text, '\t', false).unwrap());
    }

    /// Bytes of any kind are read or refused, in bounded memory, and the pieces make no difference.
    #[test]
    fn any_bytes_are_taken(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        pieces in 1..20_usize,
        width in 1..5_usize,
    ) {
        let whole = split(&bytes, b',', true, 1024, width);
        prop_assert_eq!(split(&bytes, b',', true, pieces, width), whole);
    }
}

fn shapes(text: &str, width: usize) -> Vec<Shape> {
    split(text.as_bytes(), b',', true, 64, width).unwrap().into_iter().map(|(shape, _)| shape).collect()
}

/// A CR in the midst of a cell would make two records of one.
#[test]
fn a_return_alone_ends_a_record_only_where_it_ends_the_first_line() {
    let cells = |text: &str| -> Vec<(u64, Vec<String>)> {
        let records = split(text.as_bytes(), b',', true, 3, 2).unwrap();
        records.into_iter().map(|(shape, cells)| (shape.line, cells)).collect()
    };
    let record = |line, a: &str, b: &str| (line, vec![a.to_owned(), b.to_owned()]);
    let expected = [record(1, "a", "b"), record(2, "1", "x\ry"), record(3, "2", "z\rz"), record(4, "3", "")];
    assert_eq!(cells("a,b\n1,x\ry\n2,\"z\rz\"\n3,\r\n"), expected);
    assert_eq!(cells("a,b\r\n1,x\ry\r\n2,\"z\rz\"\r\n3,\r"), expected);
    assert_eq!(cells("a,b\r1,x\r\r2,\"y\"\r"), [record(1, "a", "b"), record(2, "1", "x"), record(4, "2", "y")]);
    assert_eq!(shapes("a,b\n1,\"x\"\ry\n", 2)[1].misquoted, [1]);
}

#[test]
fn a_quote_that_is_not_closed_is_told_by_its_line() {
    for text in ["a,b\n1,\"x\n2,y\n", "a,b\n1,\"x\"\"\n", "a,b\n1,\"", "a,b\n1,\"x\r\n\"\"y\n"] {
        let error = split(text.as_bytes(), b',', true, 3, 2).unwrap_err();
        let expected =
            "x.csv: the quote opened on line 2 is never closed; if the file does not use quotes, set quoting =";
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    // Where quotes open later than their record begins.
    let error = split(b"a,b\n\"1\n1\",\"x", b',', true, 3, 2).unwrap_err();
    assert!(error.contains("opened on line 3"), "{error}");
}

#[test]
fn cells_that_go_on_behind_their_closing_quote_are_told() {
    let shapes = shapes("\"a\" ,\"b\"\n1,\"5\" plate\"\n\"A\"B,x\n1,\"x\n2,y \"z\",3\n\"a\"b,\"c\"d,\"e\"f\n", 2);
    let told: Vec<_> =
        shapes.iter().map(|s| (s.line, s.cells, s.misquoted.clone(), s.misquoted_line, s.torn)).collect();
    assert_eq!(
        told,
        [
            (1, 2, vec![], None, false),
            (2, 2, vec![1], Some(2), false),
            (3, 2, vec![0], Some(3), false),
            (4, 3, vec![1], Some(4), true),
            (6, 3, vec![0, 1], Some(6), false),
        ]
    );
}

#[test]
fn cells_that_seem_to_hold_records_are_told() {
    let suspicious =
        |text: &str, width| shapes(text, width).into_iter().map(|shape| shape.suspicious).collect::<Vec<_>>();
    // The first, the last and all lines between have as many delimiters as if the quote were none.
    assert_eq!(suspicious("1,\"Lamp,2\n2,Screen 27\",3\n", 3), [Some((1, 2))]);
    assert_eq!(suspicious("1,a,2\r\n1,\"Lamp,2\r\n2,Cup,3\r\n3,Screen 27\",4\r\n", 3), [None, Some((2, 4))]);
    assert_eq!(suspicious("\"Lamp,1,2\nScreen 27\",3,4\n", 3), [Some((1, 2))]);
    assert_eq!(suspicious("1,2,\"Lamp\n2,3,Screen 27\"\n", 3), [Some((1, 2))]);
    // An address, an order of more lines, a single column.
    assert_eq!(suspicious("1,\"12 High St\nFlat 2, London\",3\n", 3), [None]);
    assert_eq!(suspicious("\"one\ntwo\"\n", 1), [None]);
    let long = |lines: usize| format!("1,\"{}\",3\n", "text\n".repeat(lines));
    assert_eq!(suspicious(&long(20), 3), [None]);
    assert_eq!(suspicious(&long(21), 3), [Some((1, 22))]);
}

#[test]
fn cells_beyond_the_width_are_only_looked_at() {
    let records = split(b"1,2\n1,2,\n1,2, ,\"\",\t\n1,2,,x\n1\n", b',', true, 4, 2).unwrap();
    let told: Vec<_> = records.iter().map(|(shape, cells)| (shape.cells, shape.surplus, cells.len())).collect();
    assert_eq!(told, [(2, false, 2), (3, false, 2), (5, false, 2), (4, true, 2), (1, false, 1)]);
}

#[test]
fn delimiters_alone_count_against_the_limit() {
    let text = vec![b','; 17 * 1024 * 1024];
    let error = split(&text, b',', true, 64 * 1024, 3).unwrap_err();
    assert_eq!(error, "x.csv: the record that begins on line 1 has more than 16 MiB");
    // Empty lines are no record.
    assert_eq!(split(&vec![b'\n'; 17 * 1024 * 1024], b',', true, 64 * 1024, 3), Ok(vec![]));
}
