//! Finds the usage report in a frame too large to be held: an event that repeats a whole response, or carries a
//! picture. It sees the frame once, byte by byte, and keeps next to nothing of it.

/// No report is longer.
const MAX_REPORT: usize = 4 * 1024;
/// No name that matters is longer.
const MAX_NAME: usize = 16;
/// What is kept of the beginning, to tell what kind of event it is.
const MAX_HEAD: usize = 256;

/// What has been seen of one frame.
#[derive(Debug, Default)]
pub(super) struct Scout {
    head: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The beginning of the present or last string.
    string: Vec<u8>,
    /// The names of the present field of the outermost object and of the one inside it.
    names: [Vec<u8>; 2],
    /// The report as it comes, and the depth at which it began.
    report: Vec<u8>,
    since: Option<u32>,
    found: Option<Vec<u8>>,
}

impl Scout {
    /// Looks at the next bytes.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        let room = MAX_HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        for byte in bytes {
            if self.since.is_some() && self.report.len() < MAX_REPORT {
                self.report.push(*byte);
            }
            if self.in_string { self.in_string(*byte) } else { self.between_strings(*byte) }
        }
    }

    /// The beginning of the frame.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The report, once the frame has ended.
    pub(super) fn report(&self) -> Option<&[u8]> {
        self.found.as_deref()
    }

    fn in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                return;
            }
            _ => {}
        }
        if self.string.len() <= MAX_NAME {
            self.string.push(byte);
        }
    }

    fn between_strings(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                self.string.clear();
            }
            b':' if (1..=2).contains(&self.depth) => {
                let level = usize::from(self.depth == 2);
                self.names[level].clone_from(&self.string);
            }
            b'{' | b'[' => {
                if byte == b'{' && self.since.is_none() && self.is_at_report() {
                    self.since = Some(self.depth);
                    self.report = vec![b'{'];
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.since == Some(self.depth) {
                    self.since = None;
                    self.found = Some(std::mem::take(&mut self.report));
                }
            }
            _ => {}
        }
    }

    fn is_at_report(&self) -> bool {
        let [outer, inner] = &self.names;
        match self.depth {
            1 => outer == b"usage",
            2 => inner == b"usage" && (outer == b"response" || outer == b"message"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(frame: &str) -> Option<String> {
        let mut scout = Scout::default();
        scout.see(frame.as_bytes());
        scout.report().map(|report| String::from_utf8(report.to_vec()).unwrap())
    }

    #[test]
    fn only_the_events_own_report_is_found() {
        let usage = r#"{"input_tokens":1,"input_tokens_details":{"cached_tokens":0},"output_tokens":2}"#;
        let completed = format!(
            "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"tools\":[{{\"usage\":{{}}}}],\
             \"output\":[{{\"text\":\"\\\"usage\\\":{{}}\"}}],\"usage\" : {usage},\"metadata\":{{\"usage\":\"x\"}}}}}}\n\n"
        );
        assert_eq!(report(&completed).as_deref(), Some(usage));
        assert_eq!(report(&format!("data: {{\"b64\":\"x\",\"usage\":{usage}}}\n\n")).as_deref(), Some(usage));
        for without in [
            "data: {\"usage\":null}",
            "data: {\"x\":{\"usage\":{}}}",
            "data: {\"response\":[{\"usage\":{}}]}",
            "data: {\"response\":{\"a\":{\"usage\":{}}}}",
            "data: {\"a\":\"\\\"usage\\\":{}\"}",
            "}}}]]",
        ] {
            assert_eq!(report(without), None, "{without}");
        }
    }

    proptest! {
        #[test]
        fn it_keeps_little_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut scout = Scout::default();
            scout.see(b"data: {\"usage\":{");
            for _ in 0..40 {
                scout.see(&bytes);
            }
            prop_assert!(scout.head.len() <= MAX_HEAD && scout.string.len() <= MAX_NAME + 1);
            prop_assert!(scout.report.len() <= MAX_REPORT);
            prop_assert!(scout.found.as_ref().is_none_or(|found| found.len() <= MAX_REPORT));
        }
    }
}
