//! Reads the data of one server-sent event, and writes the gateway's own error event.

use std::borrow::Cow;

use bytes::Bytes;

/// The value of a frame's `data` lines, joined by line feeds; `None` where it has none (a comment, for example).
pub fn data(frame: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut found: Option<Cow<'_, [u8]>> = None;
    for line in frame.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(value) = field_value(line, b"data") else { continue };
        match &mut found {
            None => found = Some(Cow::Borrowed(value)),
            Some(data) => {
                let data = data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
        }
    }
    found
}

/// The name of a frame's event; `None` where it has none.
pub fn name(frame: &[u8]) -> Option<&[u8]> {
    frame.split(|byte| matches!(byte, b'\n' | b'\r')).find_map(|line| field_value(line, b"event"))
}

fn field_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// An event, named or not, whose data is `json`, which must be on one line.
pub fn event(name: Option<&str>, json: &[u8]) -> Bytes {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    Bytes::from([name.as_bytes(), b"data: ", json, b"\n\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: &str) -> Option<String> {
        data(frame.as_bytes()).map(|data| String::from_utf8(data.into_owned()).unwrap())
    }

    #[test]
    fn data_is_read_as_the_standard_says() {
        assert_eq!(text("data: a\n\n").unwrap(), "a");
        assert_eq!(text("data:a\r\n\r\n").unwrap(), "a");
        assert_eq!(text("event: x\ndata:  a\nid: 1\ndata: b\n\n").unwrap(), " a\nb");
        assert_eq!(text("data\n\n").unwrap(), "");
        assert_eq!(text(": data: a\n\n"), None);
        assert_eq!(text("database: a\n\n"), None);
        assert_eq!(text("\n"), None);
    }

    #[test]
    fn an_event_may_have_a_name() {
        assert_eq!(name(b"event: ping\r\ndata: {}\r\n\r\n"), Some(b"ping".as_slice()));
        assert_eq!(name(b"data: event: ping\n\n"), None);
    }

    #[test]
    fn an_own_event_reads_back() {
        assert_eq!(data(&event(None, b"{}")).unwrap().as_ref(), b"{}");
        assert_eq!(event(Some("error"), b"{}"), "event: error\ndata: {}\n\n");
    }
}
