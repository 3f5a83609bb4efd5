//! Parses messages and creates error messages (manual, 55.7 and 55.8).

/// The most bytes of a statement's text that are kept.
const KEPT_TEXT: usize = 300;

/// A zero-terminated string and the bytes after it. A truncated string ends with the input.
pub(super) fn string(body: &[u8]) -> (&[u8], &[u8]) {
    match body.iter().position(|&byte| byte == 0) {
        Some(end) => (&body[..end], &body[end + 1..]),
        None => (body, &[]),
    }
}

/// The beginning of a statement, for people.
pub(super) fn text(statement: &[u8]) -> String {
    String::from_utf8_lossy(&statement[..statement.len().min(KEPT_TEXT)]).into_owned()
}

/// A completion tag: its command and its row count, if it has one, as in `INSERT 0 5`, `UPDATE 5`, `BEGIN`.
pub(super) fn completion(body: &[u8]) -> (String, Option<u64>) {
    let tag = String::from_utf8_lossy(string(body).0).into_owned();
    let mut words = tag.split(' ');
    let command = words.next().unwrap_or_default().to_owned();
    (command, words.next_back().and_then(|count| count.parse().ok()))
}

/// An ErrorResponse that ends the session.
pub(super) fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)] {
        body.push(field);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = vec![b'E'];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(&body);
    message
}
