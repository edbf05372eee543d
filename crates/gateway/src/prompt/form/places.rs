//! Where the contents of a form's parts stand in its bytes.

use std::ops::Range;

use memchr::memmem;

/// The places of all contents, in order; `None` where the form is not exactly `--boundary`, part, `--boundary`, …,
/// `--boundary--`, with nothing before, between or after but one line ending.
pub(super) fn find(body: &[u8], boundary: &str) -> Option<Vec<Range<usize>>> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first delimiter has no line before it.
    let mut at = body.strip_prefix(&delimiter.as_bytes()[2..]).map(|rest| body.len() - rest.len())?;
    let mut places = Vec::new();
    loop {
        let rest = &body[at..];
        if let Some(end) = rest.strip_prefix(b"--") {
            return matches!(end, b"" | b"\r\n").then_some(places);
        }
        if !rest.starts_with(b"\r\n") {
            return None;
        }
        // A part without headers has nothing between the line endings.
        let content = at + memmem::find(rest, b"\r\n\r\n")? + 4;
        let end = content + finder.find(&body[content..])?;
        places.push(content..end);
        at = end + delimiter.len();
    }
}
